// --- the task: marks where a lesion is seen, each with two scores --------------------------------
const QUESTIONS = { lesion: "Is it a lesion?", real: "Is it real or inserted?" };
const REACH = 14;                                          // CSS pixels from a mark within which a click means it
const STEP = 8;                                            // CSS pixels that an arrow key moves the cross
let hidden = false;

const complete = mark => mark.lesion > 0 && mark.real > 0;
const changed = () => { keep(); update(); };
const seen = (x, y) => {                                   // a place of the image in CSS pixels of the canvas
  const { dense, scale, left, top } = frame();
  return [(left + x * scale) / dense, (top + y * scale) / dense];
};

function choose(number) {
  Object.assign(current, { chosen: number, question: number < 0 ? null : "lesion" });
  changed();
}

function mark(x, y) {                                      // at a place of the image, or choose the mark there
  if (!reading()) return;
  const [px, py] = seen(x, y);
  const near = current.marks.findIndex(one => Math.hypot(seen(one.x, one.y)[0] - px, seen(one.x, one.y)[1] - py) <= REACH);
  if (near < 0 && (x < 0 || y < 0 || x > study.width || y > study.height)) return;
  hidden = false;
  if (near < 0) current.marks.push({ x: Math.round(10 * x) / 10, y: Math.round(10 * y) / 10, lesion: 0, real: 0 });
  choose(near < 0 ? current.marks.length - 1 : near);
}

function give(value) {
  if (!reading() || current.question === null) return;
  current.marks[current.chosen][current.question] = value;
  if (current.question === "real") return choose(-1);
  current.question = "real";
  changed();
}

function remove() {
  if (!reading() || current.chosen < 0) return;
  current.marks.splice(current.chosen, 1);
  choose(-1);
}

function next() {
  if (!reading()) return;
  const open = current.marks.findIndex(one => !complete(one));
  if (open >= 0) choose(open);
  else answer({ marks: current.marks });
}

function walk(dx, dy) {                                    // the cross, which the image follows to stay in view
  const { dense, scale } = frame(), [x, y] = current.cross || [study.width / 2, study.height / 2];
  const within = (value, most) => Math.min(most, Math.max(0, value));
  current.cross = [within(x + dx * dense / scale, study.width), within(y + dy * dense / scale, study.height)];
  const place = seen(...current.cross), sizes = [$("canvas").clientWidth, $("canvas").clientHeight];
  move(...place.map((value, i) => Math.min(sizes[i] - STEP, Math.max(STEP, value)) - value));
}

const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
const KEYS = {
  enter: () => current.cross && mark(...current.cross),
  m: () => current.marks.length && choose((current.chosen + 1) % current.marks.length),
  delete: remove,
  n: next,
  h: () => { hidden = !hidden; update(); },
};

const task = {
  columns: ["x", "y", "lesion", "real"],
  fresh: () => ({ marks: [], chosen: -1, question: null, cross: null }),
  reopened: given => ({ ...task.fresh(), marks: given.marks }),
  rows: given => given.marks.length ? given.marks.map(one => [one.x, one.y, one.lesion, one.real]) : [["", "", "", ""]],
  undoable: () => reading() && current.marks.length > 0,
  undo() {
    if (!current.marks.pop()) return false;
    choose(-1);
    return true;
  },
  key(event) {
    const value = ["1", "2", "3", "4", "5"].indexOf(event.key) + 1, key = event.key.toLowerCase();
    if (!reading()) return false;
    if (value) give(value);
    else if (event.key in ARROWS && !event.shiftKey) walk(...ARROWS[event.key]);
    else if (key in KEYS) KEYS[key]();
    else return false;
    return true;
  },
  click(x, y) {
    const { dense, scale, left, top } = frame();
    mark((x * dense - left) / scale, (y * dense - top) / scale);
  },
  update() {
    const asked = reading() ? current.question : null;
    $("question").textContent = asked ? `Mark ${current.chosen + 1}: ${QUESTIONS[asked]}` : "Click where you see a lesion";
    $("choices").style.visibility = asked ? "visible" : "hidden";    // what is below stays where it is
    choices.forEach((choice, i) => { choice.lastChild.textContent = study.words[asked || "lesion"][i]; });
    others[0].disabled = current.chosen < 0;
    others[1].lastChild.textContent = hidden ? "Show marks" : "Hide marks";
  },
  overlay(context) {
    const { dense } = frame();
    const stroke = (colour, width, path) => {
      context.beginPath();
      path();
      for (const [style, extra] of [["#000", 2], [colour, 0]]) {
        context.strokeStyle = style;
        context.lineWidth = (width + extra) * dense;
        context.stroke();
      }
    };
    context.font = `${13 * dense}px system-ui, sans-serif`;
    if (!hidden) current.marks.forEach((one, i) => {
      const [x, y] = seen(one.x, one.y).map(value => value * dense), colour = complete(one) ? "#7bd88f" : "#ffc04d";
      stroke(colour, i === current.chosen ? 3 : 2, () => context.arc(x, y, 9 * dense, 0, 2 * Math.PI));
      context.fillStyle = colour;
      context.strokeStyle = "#000";
      context.strokeText(i + 1, x + 12 * dense, y - 8 * dense);
      context.fillText(i + 1, x + 12 * dense, y - 8 * dense);
    });
    if (!hidden && current.cross) {
      const [x, y] = seen(...current.cross).map(value => value * dense), arm = 14 * dense, gap = 4 * dense;
      stroke("#9fd0f5", 2, () => [[-1, 0], [1, 0], [0, -1], [0, 1]].forEach(([dx, dy]) => {
        context.moveTo(x + gap * dx, y + gap * dy);
        context.lineTo(x + arm * dx, y + arm * dy);
      }));
    }
  },
};

function row(id, ...content) {
  const made = document.createElement("div");
  made.id = id;
  made.append(...content);
  $("scores").append(made);
}
const choices = study.words.lesion.map((word, i) => button(word, i + 1, () => give(i + 1)));
const others = [
  button("Remove mark", "Delete", remove), button("Hide marks", "H", KEYS.h), button("Reset view", "0", reset),
  button("Next image", "N", next),
];
row("question");
row("choices", ...choices);
row("others", ...others);
$("choices").className = "even";
line("scale", "", QUESTIONS.lesion, QUESTIONS.real);
study.words.lesion.forEach((word, i) => line("scale", i + 1, word, study.words.real[i]));
line("hints", "Shift and drag, Shift and arrows", "move the image");
line("hints", "Click, or arrows and Enter", "mark a lesion");
line("hints", "M, Delete", "choose the next mark, remove it");
line("hints", "H", "hide the marks, or show them");
line("hints", "N", "next image");
line("hints", "Backspace", "undo the last mark, or return to the image before");
current = task.fresh();
