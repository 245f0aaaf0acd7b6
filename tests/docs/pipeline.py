"""Build the portraits, if that is not too expensive, and write a page of them."""

from pathlib import Path

import imagegen


def show(event: imagegen.Event) -> None:
    match event:
        case imagegen.Begun():
            print(f"{event.total} to do")
        case imagegen.Steps():
            print(f"{event.task}: step {event.done} of {event.total}")
        case imagegen.ImageOutcome():
            print(f"{event.state} {event.path}")


def main(folder: Path) -> None:
    project = imagegen.Project(folder)

    plan = project.plan("portraits")
    for image in plan.stale:
        print(image.act, image.task, *image.reasons)
    print(f"{plan.total.price:.2f} dollars, {plan.total.seconds or 'unknown'} seconds")
    if plan.total.price > 2 or plan.total.unpriced:
        raise SystemExit("too expensive, or its price is unknown")

    result = project.build("portraits", on_event=show, budget=2)
    result.raise_for_failures()

    pictures = [image for image in project.plan("portraits").images if image.backend]
    lines = [f'<img src="{image.path}" alt="{plan.requests[image.task]["prompt"]}">' for image in pictures]
    (folder / "portraits.html").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(__file__).parent)
