"""The results of ablations.py: checked before they are kept, and summarized."""
import statistics

from compression.checkpoints.files import read_json


def check_settings(path, settings):
    """Raise a ValueError if a result has other settings than this study would use."""
    saved = read_json(path)["settings"]
    changed = [name for name, value in settings.items() if saved.get(name) != value]
    if changed:
        raise ValueError(f"{path} is a result of other settings ({', '.join(changed)}); move it away, or "
                         "choose another --work or name of the variant")


def report(folder):
    """Summarize all results: setting -> variant -> phase -> network -> metric -> mean, deviation, seeds.

    The deviation is the standard deviation over the seeds; None for one seed.
    """
    values = {}
    for path in sorted(folder.glob("*.json")):
        result = read_json(path)
        settings = result["settings"]
        setting = " ".join(str(settings[name]) for name in ("netG", "norm", "label_ratio", "minutes"))
        if "original_minutes" in settings:
            setting += f" original {settings['original_minutes']:g}"
        for network, phases in result["scores"].items():
            for phase, metrics in phases.items():
                for metric, value in metrics.items():
                    key = (setting, settings["variant"], phase, network, metric)
                    values.setdefault(key, []).append(value)
    summary = {}
    for (*keys, metric), numbers in values.items():
        level = summary
        for key in keys:
            level = level.setdefault(key, {})
        deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
        level[metric] = [round(statistics.mean(numbers), 4), deviation and round(deviation, 4), len(numbers)]
    return summary
