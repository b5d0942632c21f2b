"""The tutorials of docs/, executed: `python tests/docs/tutorials.py` runs all of them anew, in place.

To change one, edit it in Jupyter and run this before committing, so that what is committed is what the cells
say from top to bottom, without the versions and times of whoever ran them. Then read it: after long training
numbers and pictures change with every change of rounding, and the text has to fit them.
"""

import copy
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIRST_USE = "rawgan: compiling kernels"  # said once on a machine
TUTORIALS = sorted((ROOT / "docs").glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(notebook):
    """A copy of a notebook with the outputs of its cells, run from top to bottom in an empty folder."""
    from nbclient import NotebookClient

    notebook = copy.deepcopy(notebook)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=300,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        client.execute(env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])})
    notebook.metadata = METADATA
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata.tags} if cell.metadata.get("tags") else {}
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if FIRST_USE not in o.get("text", "")]
            _join_streams(cell)
    return notebook


def _join_streams(cell):
    """One output for what was printed in one go: how it was cut into messages is chance."""
    outputs = []
    for output in cell.outputs:
        last = outputs[-1] if outputs else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            outputs.append(output)
    cell.outputs = outputs


if __name__ == "__main__":
    import nbformat

    for path in map(Path, sys.argv[1:] or TUTORIALS):
        print(path.name, flush=True)
        nbformat.write(executed(nbformat.read(path, as_version=4)), path)
