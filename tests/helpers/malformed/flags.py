"""Command lines with invalid flags."""
from .arch_files import changed
from .harness import Case
from .images import encoded

# what is wrong -> program, arguments, the error message; {folder} contains only x.png and arch.json
COMMANDS = {
    "not a number": ("train", "--batch_size many",
                     "--batch_size must be an integer from 1 to 65536, got many"),
    "fraction": ("train", "--ngf 2.5", "--ngf must be an integer from 1 to 65536, got 2.5"),
    "unknown flag": ("train", "--batchsize 3", "unrecognized arguments: --batchsize 3"),
    "flag without its value": ("train", "--ngf", "expected one argument"),
    "unknown choice": ("train", "--direction CtoD", "--direction CtoD is unknown"),
    "batch of none": ("train", "--batch_size 0", "--batch_size must be an integer from 1 to 65536, got 0"),
    "negative seed": ("train", "--seed -1", "--seed must be an integer from 0 to 1000000000000, got -1"),
    "rate of NaN": ("train", "--lr nan", "--lr must be a number of at least 0, got nan"),
    "no images": ("train", "--max_dataset_size nan",
                  "--max_dataset_size must be a number of at least 1, or inf, got nan"),
    "crop of a gigapixel": ("train", "--crop_size 100000",
                            "--crop_size must be an integer from 1 to 16384, got 100000"),
    "size of a gigapixel": ("train", "--load_size 100000",
                            "--load_size must be an integer from 1 to 16384, got 100000"),
    "negative threads": ("train", "--num_threads -1", "--num_threads must be"),
    "unknown model": ("train", "--model gan", "--model gan is unknown"),
    "model of unpaired images": ("train", "--model cycle_gan", "--model cycle_gan is not supported"),
    "unpaired data set": ("train", "--dataset_mode unaligned", "--dataset_mode unaligned is not supported"),
    "split of an unpaired data set": ("train", "--model ugc_supernet --base_dataset_mode unaligned",
                                      "--base_dataset_mode unaligned has no pairs"),
    "unknown data set": ("train", "--dataset_mode zip", "--dataset_mode zip is unknown"),
    "module path as a data set": ("train", "--dataset_mode ../../x", "is unknown"),
    "unknown generator": ("train", "--netG vgg", "--netG vgg"),
    "unknown discriminator": ("train", "--netD vgg", "--netD vgg"),
    "unknown norm": ("train", "--norm layer", "--norm layer is unknown"),
    "unknown preprocessing": ("train", "--dataroot {folder} --preprocess zoom",
                              "--preprocess zoom is unknown"),
    "unknown GPU": ("train", "--gpu_ids first", "--gpu_ids must be auto"),
    "GPU that is not there": ("train", "--gpu_ids 99", "--gpu_ids 99"),
    "suffix of no option": ("train", "--suffix {nothing}", "must be an option"),
    "suffix left open": ("train", "--suffix {", "must be an option"),
    "suffix of an attribute": ("train", "--suffix {model.x}", "must be an option"),
    "no name": ("train", "--name=", "--name must not be empty"),
    "labels of 150 percent": ("train", "--model ugc_supernet --label_ratio 1.5", "--label_ratio"),
    "labels of NaN": ("train", "--model ugc_supernet --label_ratio nan", "--label_ratio"),
    "load above crop": ("train", "--dataroot {folder} --load_size 8 --crop_size 16",
                        "must be at least --crop_size"),
    "output missing": ("test", "--input {folder}/x.png", "needs --output"),
    "output of no format": ("test", "--input {folder}/x.png --output {folder}/out.xyz", "must end in one of"),
    "output over the input": ("test", "--input {folder}/x.png --output {folder}/x.png",
                              "would overwrite an input"),
    "folder over itself": ("test", "--input {folder} --output {folder}", "would overwrite an input"),
    "input missing": ("test", "--input {folder}/y.png --output {folder}/out.png", "no such file"),
    "input is an Arch file": ("test", "--input {folder}/arch.json --output {folder}/out.png",
                              "it is none of"),
    "output of no input": ("test", "--output {folder}/out.png", "--output: only with --input"),
    "frames of an image": ("test", "--input {folder}/x.png --output {folder}/out.png --max_frames 3",
                           "is neither a video nor the camera"),
    "negative epoch": ("test", "--load_iter -1 --dataroot {folder}", "--load_iter must be"),
    "no images to run": ("test", "--num_test 0 --dataroot {folder}", "--num_test must be"),
    "no results": ("evaluate", "--results {folder}/none", "no such folder"),
    "no images in the results": ("evaluate", "--results {folder}/ck --check_data", "--results"),
    "no photos to compare with": ("evaluate", "--results {folder} --reference {folder}/none --check_data",
                                  "--reference"),
    "no size": ("cost", "--arch {folder}/arch.json --size 256", "--size is HEIGHTxWIDTH"),
    "size of zero": ("cost", "--arch {folder}/arch.json --size 0x256", "--size is HEIGHTxWIDTH"),
    "negative size": ("cost", "--arch {folder}/arch.json --size -4x256", "--size"),
    "no input channels": ("cost", "--arch {folder}/arch.json --input_nc 0", "--input_nc"),
    "size that does not fit": ("cost", "--arch {folder}/arch.json --size 63x64", "multiples of 4"),
    "size of exabytes": ("cost", "--arch {folder}/arch.json --size 4000000000x4000000000", "--size")}


def _line(text):
    def make(folder):
        (folder / "x.png").write_bytes(encoded())
        (folder / "ck" / "experiment_name").mkdir(parents=True)
        (folder / "arch.json").write_text(changed())
        return [part.replace("{folder}", str(folder)) for part in text.split()]
    return make


def _program(entry, text):
    own = "" if entry == "cost" else " --checkpoints_dir {folder}/ck"
    return _line(text + own)


FLAGS = [Case("flag", name, entry, _program(entry, text), expected)
         for name, (entry, text, expected) in COMMANDS.items()]
