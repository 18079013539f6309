"""A home folder with settings that must change nothing."""

from pathlib import Path

_KERAS = '{"floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first"}'


def strange_home(home: Path) -> None:
    """Write settings of git, Keras and matplotlib that must not change any result."""
    for name, text in {
        ".keras/keras.json": _KERAS,
        ".gitconfig": "[core]\n\tautocrlf = true\n\teol = crlf\n[safe]\n\tdirectory = *\n",
        ".config/matplotlib/matplotlibrc": "font.size: 20\nlines.linewidth: 5\n",
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
