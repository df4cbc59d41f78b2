"""Export a generator to a file for another runtime, and compare the file with PyTorch on real images.

    python export.py --name exp_s --format onnx                      # -> exports/exp_s/onnx_fp32.onnx
    python export.py --name exp_s --format openvino --precision int8
    python export.py --name exp_s --format web                       # -> exports/exp_s/web_fp32/index.html
    python export.py --student latest_net_G.pth --dataroot D --dynamic_size --pad --output g.onnx

The measurements are written next to the file (.json). If the file differs too much from PyTorch, the exit
status is 2, and the file is kept under another name (.failed).
"""
from compression.runtime.text import printable
from models import create_model
from options.export_options import ExportOptions
from util.entry import fail, run_main, seed_everything
from util.exporting import Export, describe_export, export_table, failed
from util.tables import print_table
from util.web_page import PageExport


def main() -> None:
    """Export the generator of a run or a file."""
    opt = ExportOptions().parse()
    opt.num_threads, opt.serial_batches, opt.no_flip = 0, True, True
    seed_everything(opt.seed)
    model = create_model(opt)
    model.setup(opt)
    export = PageExport(opt, model) if opt.format == "web" else Export(opt, model)
    record, failure = export.run()
    print_table(*export_table(record))
    print(describe_export(export, record))
    if failure:
        fail(f"--format {opt.format} --precision {opt.precision}: {failure}; the file is kept as "
             f"{failed(export.path)}")
    print(f"exported: {printable(export.path)} (measurements: {printable(export.record_path(export.path))})")
    if isinstance(export, PageExport):
        print(export.hint())


if __name__ == "__main__":
    run_main(main)
