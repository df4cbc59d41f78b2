"""Import Python files that are not in a package, such as the scripts in datasets/."""
import importlib.util


def load_module(path, name=None):
    """Import a Python file by its path as the module `name` (default: the name of the file)."""
    spec = importlib.util.spec_from_file_location(name or path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
