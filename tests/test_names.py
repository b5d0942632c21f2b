"""What is suggested for a name that is misspelt, and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rawgan
from rawgan import ConfigError
from rawgan.settings import _slips, near

NAMES = ("out", "epochs", "dropout", "learning_rate", "batch_size", "noise", "d_steps", "mlp", "vae")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("droput", "dropout"),
        ("Dropuot", "dropout"),
        ("epoch", "epochs"),
        ("lerning_rat", "learning_rate"),
        ("batchsize", "batch_size"),
        ("noise_dim", "noise"),
        ("learning", "learning_rate"),
        ("mpl", "mlp"),
        ("oot", "out"),
        ("zebra", None),
        ("dropo", "dropout"),
        ("d", None),
        ("va", None),
        ("", None),
        (3, None),
    ],
)
def test_only_what_is_near(word, meant):
    assert near(word, NAMES) == meant


WORDS = st.text("abc_", max_size=8)


@given(WORDS, WORDS, WORDS)
def test_slips_are_a_distance(a, b, c):
    assert _slips(a, b) == _slips(b, a)
    assert (_slips(a, b) == 0) == (a == b)
    assert abs(len(a) - len(b)) <= _slips(a, b) <= max(len(a), len(b))
    assert _slips(a + c, b + c) == _slips(a, b)


@pytest.mark.parametrize(
    ("recipe", "setting", "message"),
    [
        ("mlp", "droput", "there is no setting 'droput'; 'dropout' is one of "),
        ("mlp", "hiden", "there is no setting 'hiden'; did you mean 'hidden'?; there are: "),
        ("mlp", "devize", "did you mean 'device'?"),
        ("mlp", "zebra", "there is no setting 'zebra'; there are: "),
        (None, "droput", "train: there is no setting 'droput'; did you mean 'dropout'?"),
    ],
)
def test_a_misspelt_setting(recipe, setting, message):
    with pytest.raises(ConfigError) as error:
        rawgan.train(recipe, **{setting: 1})
    assert message in str(error.value)
