"""A film avatar in memory: ears fitted to the person, and the person's filmed frames moved by what they hear.

    sound and gate -> ears -> articulation; template frame, its landmarks, articulation -> patch -> pasted

Axes: B batch, S audio samples (16 kHz), D = P articulation, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.mouth_units import lips_close
from recipe.avatar_format import AUDIO_ENCODER_FILE, EMBEDDING, FRAMES_FILE, GATE, MATTES_FILE, PCM
from recipe.crop import INNER, crop_face
from recipe.film.draw import Canvas, FilmFace
from recipe.film.shape import ARTICULATION, inverse, joined
from recipe.paste import PastePlan, lay_over, plan_paste
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, INNER_OFFSET_PX, PATCH_TOP_PX
from services.avatars.avatar import FilmAvatar
from services.avatars.mattes import Mattes
from services.avatars.networks import check_specs, in_pieces
from services.avatars.regions import pasted_region
from services.avatars.side_by_side import SideBySide
from services.avatars.template import TemplateVideo
from services.errors import NotCutOutError
from services.mouth_rate import shown_rows
from services.runtimes.runtime import Runtime
from services.types import Patch, Place, ToldLips

_Mouth = tuple[list[int], NDArray[np.float32]]  # the template frames that show it, and what it is told

_BATCHES: Final = 4  # of the ears: at the end of a call the threads that draw wait for the last of them


class LoadedFilm:
    """A film avatar, ready to speak; implements `services.types.AvatarModel`. Used by any number of sessions."""

    def __init__(self, avatar: FilmAvatar, runtime: Runtime, template_bytes: int) -> None:
        """Load the ears and warm up.

        Raises:
            BrokenAvatarError: the ears or the template are not of the agreed form.
            ModelRuntimeError: the runtime refuses the ears.
        """
        self.avatar = avatar
        manifest, path = avatar.manifest, avatar.folder / AUDIO_ENCODER_FILE
        self.template = TemplateVideo(
            avatar.folder / FRAMES_FILE, manifest.frames, manifest.width, manifest.height, template_bytes
        )
        self._mattes = None
        if MATTES_FILE in manifest.files:
            self._mattes = Mattes(avatar.folder / MATTES_FILE, manifest)
        self._ears = runtime.load(path)
        sound = {PCM: (np.float32, (None, AUDIO_WINDOW_SAMPLES)), GATE: (np.float32, (None,))}
        check_specs(str(path), "input", self._ears.inputs, sound)
        check_specs(str(path), "output", self._ears.outputs, {EMBEDDING: (np.float32, (None, ARTICULATION))})
        self._face = FilmFace(avatar.film)
        arrays = sum(np.asarray(array).nbytes for array in avatar.film.values())
        self.memory_bytes = 2 * arrays + 2 * path.stat().st_size + template_bytes
        self.memory_bytes += self._mattes.memory_bytes if self._mattes else 0
        self._drawn = SideBySide(self._draw_mouth, self._ears.batch_frames)
        self._drawn_patches = SideBySide(self._draw_mouth_patch, self._ears.batch_frames)
        silence_BS = np.zeros((1, AUDIO_WINDOW_SAMPLES), np.float32)
        list(self.draw([0], self.encode_audio(silence_BS, np.zeros(1, np.float32))))

    @property
    def batch_frames(self) -> int:
        return _BATCHES * self._ears.batch_frames

    @property
    def first_batch_frames(self) -> int:
        return 1  # drawing is most of the work, and is done frame by frame

    @property
    def keeps_template(self) -> bool:
        return True  # its picture stays decoded

    @property
    def provider(self) -> str:
        """What the ears run on, as the runtime names it."""
        return self._ears.provider

    def encode_audio(
        self, pcm_BS: NDArray[np.float32], gate_B: NDArray[np.float32], lips: ToldLips = ()
    ) -> NDArray[np.float32]:
        """What every frame's mouth is to do, (B, D).

        Told lips are another mouth's, and the ears know this one's manner; but p, b and m close everybody's lips.
        """
        pieces = in_pieces(len(pcm_BS), self._ears.batch_frames)
        told_BD = np.concatenate([self._ears.run({PCM: pcm_BS[i], GATE: gate_B[i]})[EMBEDDING] for i in pieces])
        if not any(units_U is not None for units_U in lips):
            return told_BD
        surely_B = np.array([0.0 if units_U is None else float(lips_close(units_U)) for units_U in lips])
        return self._face.lips_closed(told_BD, surely_B * gate_B)

    def draw(
        self, indices: Sequence[int], embedding_BD: NDArray[np.float32], held: Sequence[bool] = ()
    ) -> Iterator[NDArray[np.uint8]]:
        """Template frames with the mouth that the sound asks for, one after the other."""
        return chain.from_iterable(self._drawn(_mouths(indices, embedding_BD, held)))

    def draw_patches(
        self, indices: Sequence[int], embedding_BD: NDArray[np.float32], held: Sequence[bool] = ()
    ) -> Iterator[Patch]:
        """The rectangles of `draw`'s pictures that the drawn patch touches."""
        return chain.from_iterable(self._drawn_patches(_mouths(indices, embedding_BD, held)))

    def cut_out(self, index: int, picture_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture without the one colour behind the person, where the avatar was copied before one."""
        if self._mattes is None:
            raise NotCutOutError(self.avatar.manifest)
        return self._mattes.cut_out(index, picture_HWC)

    def _draw_mouth(self, asked: _Mouth) -> list[NDArray[np.uint8]]:
        pictures = [self.template.frame(index) for index in asked[0]]
        for picture_HWC, ((x, y), region_HWC) in zip(pictures, self._draw_mouth_patch(asked), strict=True):
            picture_HWC[y : y + region_HWC.shape[0], x : x + region_HWC.shape[1]] = region_HWC
        return pictures

    def _draw_mouth_patch(self, asked: _Mouth) -> list[Patch]:
        indices, told_D = asked
        shown, affine_T23 = self.template.shown(indices[0]), self.avatar.affine_T23
        plan = plan_paste(affine_T23[indices[0]], *shown.shape[:2])
        if plan.shrinks:
            return self._at_their_own_pixels(indices, told_D, plan)
        inner_HWC = np.ascontiguousarray(crop_face(shown, affine_T23[indices[0]])[INNER, INNER])
        patch_HWC = self._face.patch(inner_HWC, indices[0], told_D)
        plans = [plan_paste(affine_T23[index], *shown.shape[:2]) for index in indices]
        return [pasted_region(self.template, *there, patch_HWC) for there in zip(indices, plans, strict=True)]

    def _at_their_own_pixels(self, indices: list[int], told_D: NDArray[np.float32], plan: PastePlan) -> list[Patch]:
        """A face that is smaller in the frame than in the crop is neither cut out and enlarged nor shrunk again."""
        to_inner_23 = self.avatar.affine_T23[indices[0]].astype(np.float64)
        to_inner_23[:, 2] -= INNER_OFFSET_PX
        region_to_inner_23 = plan.to_patch_23.copy()
        region_to_inner_23[1, 2] += PATCH_TOP_PX
        canvas = Canvas(plan.rows.stop - plan.rows.start, plan.columns.stop - plan.columns.start, region_to_inner_23)
        drawn_HWC = self._face.patch(self.template.shown(indices[0]), indices[0], told_D, to_inner_23, canvas)
        region_HWC = self.template.region(indices[0], plan.rows, plan.columns)
        lay_over(region_HWC, drawn_HWC)
        patches = [Patch(Place(plan.columns.start, plan.rows.start), region_HWC)]
        for index in indices[1:]:
            there = plan_paste(self.avatar.affine_T23[index], self.template.height, self.template.width)
            onto_23 = joined(inverse(plan.to_patch_23), there.to_patch_23)  # its pixels -> those that were drawn
            there = replace(there, to_patch_23=onto_23, low_pass=None, patch_size=drawn_HWC.shape[:2])
            patches.append(pasted_region(self.template, index, there, drawn_HWC))
        return patches


def _mouths(indices: Sequence[int], embedding_BD: NDArray[np.float32], held: Sequence[bool]) -> Iterator[_Mouth]:
    for rows in shown_rows(len(indices), held):
        yield [indices[row] for row in rows], embedding_BD[rows[0]]
