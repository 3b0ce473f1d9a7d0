"""Run the console command with `python -m synthmammo`."""

from synthmammo.command import main

if __name__ == "__main__":
    main(prog_name="synthmammo")
