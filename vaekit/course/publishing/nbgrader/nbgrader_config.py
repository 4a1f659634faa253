"""nbgrader for a class that works on vaekit's exercises; nbgrader reads this file where it is started.

Three steps are added to nbgrader's own, and one for looks. As it comes, it gives full marks where it finds no number
and none where a warning is printed, leaves a deleted test to be graded by hand, stops for the whole class at one
notebook with metadata that it does not know, and sends hidden tests back in the feedback.
"""

import os
import re
import sys
from pathlib import Path

from nbconvert.preprocessors import ClearMetadataPreprocessor, CSSHTMLHeaderPreprocessor, TagRemovePreprocessor
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from nbgrader import preprocessors as pre
from nbgrader.api import Gradebook
from nbgrader.utils import is_grade


class RestoreCells(pre.NbGraderPreprocessor):
    """Gives cells the metadata that they were released with; puts back deleted tests, as the last cells."""

    def preprocess(self, notebook, resources):
        where = resources["nbgrader"]
        with Gradebook(where["db_url"]) as gradebook:
            released = gradebook.find_notebook(where["notebook"], where["assignment"])
            points = {cell.name: cell.max_score for cell in released.grade_cells}
            answers = {cell.name for cell in released.solution_cells}
            sources = {cell.name: (cell.source, cell.locked) for cell in released.source_cells}
        roles = {
            name: {
                "grade": name in points,
                "grade_id": name,
                "locked": locked,
                "schema_version": 3,
                "solution": name in answers,
                "task": False,
                **({"points": points[name]} if name in points else {}),
            }
            for name, (_, locked) in sources.items()
        }
        seen = set()
        for cell in reversed(notebook.cells):  # of a cell and its copies the last one counts
            told = cell.metadata.pop("nbgrader", None)
            name = told.get("grade_id") if isinstance(told, dict) else None
            if isinstance(name, str) and name in roles and name not in seen:
                cell.metadata["nbgrader"] = roles[name]
                seen.add(name)
        for name in points:
            if name not in seen:
                self.log.warning("The test %s was deleted; it is put back as the last cell.", name)
                notebook.cells.append(new_code_cell(sources[name][0], metadata={"nbgrader": roles[name]}))
        return notebook, resources


class NumbersAlone(pre.NbGraderPreprocessor):
    """A test earns the plain number, from 0 to its points, that it ends in; without one it earns nothing.

    nbgrader would give all points for anything else, and none if a word reaches stderr, be it from the cell before.
    """

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type == "code" and is_grade(cell):
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            results = [o["data"].get("text/plain", "") for o in cell.outputs if o.output_type == "execute_result"]
            text = results[0] if results else "nothing"
            plain = re.fullmatch(r"\d+(\.\d*)?(e-?\d+)?", text)
            failed = any(o.output_type == "error" for o in cell.outputs)
            if failed or not plain or float(text) > cell.metadata["nbgrader"]["points"]:
                told = f"expected points, received {text[:80]}"
                cell.outputs = [o for o in cell.outputs if o.output_type != "execute_result"]
                if not failed:
                    cell.outputs.append(new_output("error", ename="NoMark", evalue=told, traceback=[f"NoMark: {told}"]))
        return cell, resources


class HideTests(pre.ClearHiddenTests):
    """Takes hidden tests out of feedback: from tests, and from the tracebacks of errors in them."""

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type == "code" and is_grade(cell):
            for output in cell.outputs:
                if output.output_type == "error":
                    output.traceback = [f"{output.ename}: {output.evalue}"]
        return super().preprocess_cell(cell, resources, index)


class RoomyTables(pre.NbGraderPreprocessor):
    """Parts the columns of tables on nbgrader's pages, which run into each other as they come."""

    def preprocess(self, notebook, resources):
        cells = "#notebook-container :is(th, td) { padding: 0.1em 0.8em 0.1em 0 }"
        style = f"<style>{cells} #notebook-container table {{ margin-bottom: 1em }}</style>"
        notebook.cells.append(new_markdown_cell(style))
        return notebook, resources


c = get_config()  # noqa: F821  nbgrader provides it

# ---- the class

# nbgrader looks for its tool alembic on the path, where it is missing if the environment was not activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

c.CourseDirectory.course_id = Path(__file__).resolve().parent.name

# ---- what learners get

# Cells tagged "solution" explain it, and go with it.
c.GenerateAssignment.preprocessors = [
    TagRemovePreprocessor,
    pre.IncludeHeaderFooter,
    pre.InstantiateTests,
    pre.LockCells,
    pre.ClearSolutions,
    pre.ClearOutput,
    pre.CheckCellMetadata,
    pre.ComputeChecksums,
    pre.SaveCells,
    pre.ClearHiddenTests,
    pre.ClearMarkScheme,
    pre.ComputeChecksums,
    pre.CheckCellMetadata,
]
c.TagRemovePreprocessor.enabled = True
c.TagRemovePreprocessor.remove_cell_tags = {"solution"}
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError()  # your answer, in place of this line"}

# ---- grading

c.Execute.kernel_name = "python3"  # vaekit is installed there
c.Execute.timeout = 300  # seconds for one cell; a cell that takes longer is interrupted, the next ones still run
c.Execute.startup_timeout = 120  # seconds until a kernel is up
c.Execute.iopub_timeout = 60  # seconds for outputs to come in
c.Autograde.sanitize_preprocessors = [
    pre.ClearOutput,
    RestoreCells,
    pre.OverwriteKernelspec,
    pre.OverwriteCells,
    pre.CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    pre.Execute,
    pre.IgnorePattern,
    ClearMetadataPreprocessor,
    pre.LimitOutput,
    NumbersAlone,
    pre.SaveAutoGrades,
    pre.AssignLatePenalties,
    pre.CheckCellMetadata,
]

# ---- feedback

c.GenerateFeedback.preprocessors = [pre.GetGrades, HideTests, CSSHTMLHeaderPreprocessor]

# ---- pages: formgrader, feedback

c.HTMLExporter.preprocessors = [RoomyTables]
