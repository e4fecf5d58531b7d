"""Every look is a face whose lips meet and part, framed as any other's; a beard grows on the jaw, not on the lips."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("moderngl", reason="the presenter needs the extra `lab`")

from presenter import assets
from presenter.beard import beard_cover, build_beard, lips_of
from presenter.defaults import PEOPLE
from presenter.geometry import on_triangles
from presenter.gpu import GraphicsUnavailableError
from presenter.head import Person, load_person
from presenter.looks import LOOKS, WOMAN
from presenter.recording import Settings
from presenter.renderer import Renderer
from presenter.scene import neutral_pose
from recipe.articulation.visemes import SHAPES

DRAWN = ("woman", "man", "man-window")  # long, cropped and short hair; light from the front and from the side


@pytest.fixture(scope="module", params=PEOPLE)
def person(request: pytest.FixtureRequest) -> Person:
    try:
        return load_person(assets.data_folder(), LOOKS[request.param])
    except assets.AssetsMissingError as error:
        pytest.skip(str(error))


def test_the_command_knows_every_look() -> None:
    assert tuple(LOOKS) == PEOPLE and Settings(seed=1).person == WOMAN.name


def test_lips_meet_and_part(person: Person) -> None:
    def gap_mm(shape: str) -> float:
        face = person.expression(person.weight_vector(SHAPES[shape]))
        upper, lower = (face[person.landmarks[f"lip_inner_{side}"], 1] for side in ("upper", "lower"))
        return float(100 * (upper - lower))

    assert gap_mm("PP") <= 0 and gap_mm("sil") <= 0.3
    assert 10 < gap_mm("aa") < 24 and gap_mm("aa") > gap_mm("E") > gap_mm("W")


def test_all_looks_look_into_the_camera_from_the_same_place(person: Person) -> None:
    eyes = np.array([person.eye(side)[0] for side in ("left", "right")])
    np.testing.assert_allclose(eyes.mean(0), [0, 6.69, 1.10], atol=0.02)
    assert 0.5 < np.ptp(eyes[:, 0]) < 0.6


def test_a_beard_grows_where_beards_grow(person: Person) -> None:
    if person.look.beard is None:
        pytest.skip("shaven")
    data = assets.data_folder()
    beard, lips_V = build_beard(person, data), lips_of(person, data)
    roots = on_triangles(person.rest_V3, beard.triangle_F3, beard.chosen_N, beard.barycentric_N3)
    mouth, eye = person.rest_V3[person.landmarks["lip_inner_upper"]], person.eye("left")[0]
    assert len(roots) > 5000 and (roots[:, 1] < eye[1]).all()
    chin = (np.abs(roots[:, 0]) < 0.2) & (roots[:, 1] < mouth[1] - 0.15)
    lip_hair = (np.abs(roots[:, 0]) < 0.2) & (roots[:, 1] > mouth[1] + 0.1)
    assert chin.sum() > 300 and lip_hair.sum() > 50
    red = person.rest_V3[lips_V > 0.5]
    assert beard_cover(red, person, lips_V).max() < 0.05, "no hair on the lips"


def test_its_picture_is_a_face_in_its_own_colours(person: Person) -> None:
    if person.look.name not in DRAWN:
        pytest.skip("its light and hair take a minute to compute the first time: `python -m presenter people` draws it")
    try:
        renderer = Renderer(person, assets.data_folder(), 96, samples=0)
    except GraphicsUnavailableError as error:
        pytest.skip(str(error))
    picture = renderer.render(neutral_pose(person)).astype(float)
    forehead, chin = picture[24:30, 42:54].mean((0, 1)), picture[66:70, 44:52].mean((0, 1))
    skin = person.look.skin.base
    assert forehead[0] > forehead[1] > forehead[2], "skin is reddish"
    assert (forehead.mean() > 130) == (skin.mean() > 0.25), "dark skin is drawn dark, light skin light"
    if person.look.beard is not None:
        assert chin.mean() < 0.8 * forehead.mean(), "the beard is darker than the skin"
