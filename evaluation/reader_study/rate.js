// --- the task: a score for each image (Ren et al. 2019, section 6.5) -----------------------------
const task = {
  columns: ["score"],
  fresh: () => null,
  reopened: () => null,
  rows: given => [[given.score]],
  undoable: () => false,
  undo: () => false,
  overlay: () => {},
  click: () => {},
  update: () => {},
  key(event) {
    const score = ["1", "2", "3", "4", "5"].indexOf(event.key) + 1;
    if (score) answer({ score });
    return score > 0;
  },
};
study.words.forEach((word, i) => {
  $("scores").append(button(word, i + 1, () => answer({ score: i + 1 })));
  line("scale", i + 1, word);
});
line("hints", "Shift and drag, arrows", "move the image");
line("hints", "Double click", "reset the view");
line("hints", "Backspace", "undo the last score");
$("canvas").addEventListener("dblclick", reset);
