"""Quiz: what a reader sees, what is kept, what a mistake in the TOML file is told."""

import base64
import json
import re
import tomllib
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from vaekit.course import quiz as quizzes
from vaekit.course import show
from vaekit.course.quiz import Quiz

pytestmark = pytest.mark.once

TOML = """
[spread]
question = 'Which estimator has variance $4\\sigma^2$?'
right = "a"
[spread.options]
a = 'pathwise'
b = 'score function'
[spread.reasons]
a = 'It knows the slope.'
b = 'It knows values only.'
"""
LESSONS = Path(__file__).parent.parent / "lessons"


@pytest.fixture
def answers(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "answers.json"
    monkeypatch.setenv("VAEKIT_ANSWERS", str(path))
    return path


@pytest.fixture
def quiz(tmp_path, answers):
    return Quiz(write(tmp_path, TOML))


def write(folder, text):
    path = folder / "07.toml"
    path.write_text(text)
    return path


def test_the_question_is_shown_without_its_answer(quiz, capsys):
    quiz.ask("spread")
    out, err = capsys.readouterr()
    assert r"$4\sigma^2$" in out and "**a**  pathwise" in out and "**b**  score function" in out
    assert "slope" not in out and err == ""


def test_an_answer_is_kept_and_discussed(quiz, answers, tmp_path, capsys):
    quiz.ask("spread", answer=" B")
    assert json.loads(answers.read_text()) == {"07": {"spread": "b"}}
    assert {p.name for p in answers.parent.iterdir()} <= {"answers.json", "answers.json.lock"}  # no half-written file
    assert quiz.answer("spread") == Quiz(tmp_path / "07.toml").answer("spread") == "b"
    quiz.discuss("spread")
    out, err = capsys.readouterr()
    assert "You answered **b**; the answer is **a**." in out and "slope" in out and "values only" in out and err == ""


def test_discussion_without_an_answer(quiz, answers, capsys):
    quiz.discuss("spread")
    assert "You have not answered" in capsys.readouterr().out and not answers.exists()


def test_a_second_answer_replaces_the_first_and_leaves_other_lessons_alone(quiz, answers):
    answers.parent.mkdir()
    answers.write_text('{"01": {"x": "c"}}')
    quiz.ask("spread", answer="a")
    quiz.ask("spread", answer="b")
    assert json.loads(answers.read_text()) == {"01": {"x": "c"}, "07": {"spread": "b"}}


@pytest.mark.parametrize("content", ["{half", "[1, 2]", '{"07": "b"}'])
def test_a_damaged_file_is_put_aside(quiz, answers, content):
    answers.parent.mkdir()
    answers.write_text(content)
    assert quiz.answer("spread") is None
    assert answers.with_name("answers.json.damaged").read_text() == content


def test_an_answer_that_cannot_be_stored_is_remembered(quiz, answers, capsys):
    answers.parent.write_text("a file where the directory should be")
    quiz.ask("spread")
    quiz.ask("spread", answer="b")
    assert "cannot be written" in capsys.readouterr().out and quiz.answer("spread") == "b"


def test_a_click_is_kept(quiz, answers):
    pytest.importorskip("ipywidgets")
    buttons, said = quiz._buttons("spread").children
    assert buttons.value is None
    buttons.value = "a"
    assert json.loads(answers.read_text()) == {"07": {"spread": "a"}} and said.value == "Your answer: a."
    assert quiz._buttons("spread").children[0].value == "a"


def test_a_figure_follows_its_control_and_stays_as_a_picture_on_a_page(monkeypatch):
    ipywidgets = pytest.importorskip("ipywidgets")
    shown, values = [], []
    monkeypatch.setattr(show, "_display", shown.append)
    slider = ipywidgets.FloatSlider(1.0, min=0, max=3)
    show.explore(lambda k: values.append(k) or Figure(figsize=(1, 1)), k=slider)
    slider.value = 2.5
    assert values == [1.0, 2.5]
    assert base64.b64decode(shown[0]["image/png"])[1:4] == b"PNG" and any("widget-view" in mime for mime in shown[0])


def test_unknown_names_and_letters_are_told(quiz):
    with pytest.raises(ValueError, match="no question 'spred'; it has spread"):
        quiz.ask("spred")
    with pytest.raises(ValueError, match="the options a, b; received 'z'"):
        quiz.ask("spread", answer="z")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('right = "a"', 'right = "c"', "right 'c'"),
        ("b = 'It knows values only.'", "", r"reasons \['a'\]"),
        ('right = "a"', "", "should have"),
    ],
)
def test_incomplete_questions_are_refused(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=message):
        Quiz(write(tmp_path, TOML.replace(old, new)))


@pytest.mark.parametrize("lesson", ["99", "quiz/01.toml"])
def test_a_lesson_without_questions_is_told_which_have_some(lesson, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"Lessons with questions: 00, 01, .*Quiz\('01'\)"):
        Quiz(lesson)


def test_the_courses_questions_are_found_wherever_a_notebook_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Quiz("01").lesson == "01" and Quiz("01").questions == Quiz(LESSONS / "quiz" / "01.toml").questions


def test_on_a_page_each_answer_unfolds_its_reason(quiz, monkeypatch):
    """What a notebook stores for whoever reads it without a kernel; rendered as nbconvert and nbviewer do."""
    filters = pytest.importorskip("nbconvert.filters")
    shown = []
    monkeypatch.setattr(show, "_display", lambda bundle: shown.append(bundle) or True)
    quiz.ask("spread")
    question, answers = (filters.markdown2html(bundle["text/markdown"]) for bundle in shown)
    assert "4\\sigma^2" in question and "pathwise" in question and "slope" not in question
    parts = re.findall(r"<details>\s*<summary>(.*?)</summary>\s*(.*?)\s*</details>", answers, flags=re.S)
    assert parts == [
        ("I say <b>a</b>.", "<p>Right. It knows the slope.</p>"),
        ("I say <b>b</b>.", "<p>Wrong. It knows values only.</p>"),
    ]
    assert "slope" not in shown[1]["text/plain"]


def test_in_a_kernel_there_are_buttons_in_place_of_the_reasons(quiz, monkeypatch):
    pytest.importorskip("ipywidgets")
    shown = []
    monkeypatch.setattr(show, "_display", lambda bundle: shown.append(bundle) or True)
    quiz.ask("spread")
    assert [any("widget-view" in mime for mime in bundle) for bundle in shown] == [False, True]
    monkeypatch.setattr(quiz, "_buttons", lambda name: None)  # without ipywidgets
    quiz.ask("spread")
    assert set(shown[-1]) == {"text/markdown", "text/plain"}


def test_without_a_setting_answers_lie_in_the_users_data_directory(monkeypatch):
    monkeypatch.delenv("VAEKIT_ANSWERS", raising=False)
    assert quizzes.ANSWERS.path.name == "answers.json" and "vaekit" in str(quizzes.ANSWERS.path.parent)


@pytest.mark.parametrize("path", sorted((LESSONS / "quiz").glob("*.toml")), ids=lambda path: path.stem)
def test_every_question_of_a_lesson_is_asked_before_it_is_discussed(path):
    (source,) = (LESSONS / "source").glob(f"{path.stem}_*.py")
    text = source.read_text()
    Quiz(path)
    for name in tomllib.loads(path.read_text()):
        assert 0 < text.find(f'ask("{name}")') < text.find(f'discuss("{name}")'), name
