"""Models that only transformers has code for: token-equal to themselves, or refused by name with the reason."""

import json

import pytest
from causal_lm_families import BROKEN, REFUSED, VOCAB, families, tiny_model

from paddock.engine.config.serve import ServeConfig
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape
from paddock.engine.sampling.params import SamplingParams

SAMPLE = (
    "bert",
    "cohere2",
    "doge",
    "gemma",
    "glm4_moe",
    "granite",
    "minicpm3",
    "olmo2",
    "roberta",
    "starcoder2",
)
GREEDY = SamplingParams(max_tokens=12, temperature=0)
PROMPTS = [[(7 * i * i + 3 * i + n) % VOCAB for i in range(n)] for n in (1, 5, 8, 23, 40)]


@pytest.fixture
def saved(tmp_path, checkpoint_type):
    def make(kind):
        model = tiny_model(kind)
        model.generation_config.eos_token_id = None
        model.save_pretrained(tmp_path)
        return forced(checkpoint_type)(tmp_path, model)

    return make


def forced(checkpoint_type):
    """A checkpoint that runs through transformers, although the engine may have code of its own for it."""

    class Forced(checkpoint_type):
        def shape(self):
            config = ServeConfig.model_validate({"model": {"model_impl": "transformers"}})
            return ModelShape.read(self.path, config.model)

    return Forced


def check(kind, saved, engine):
    checkpoint = saved(kind)
    if kind in REFUSED:
        with pytest.raises(CheckpointError, match=f"(because|json:) {REFUSED[kind]}"):
            engine(checkpoint)
        return
    # Two steps a prompt and more, prompts beside decodes, five sequences in one flat batch.
    served = engine(checkpoint, max_model_len=128, max_num_batched_tokens=19, enable_prefix_caching=True)
    expected = [checkpoint.continuation(prompt, 12) for prompt in PROMPTS]

    assert served.generate(PROMPTS, GREEDY) == expected
    assert served.generate(PROMPTS, GREEDY) == expected
    assert served.core.counters().prefix_cache_hits > 0


@pytest.mark.parametrize("kind", SAMPLE)
def test_a_family_gives_the_tokens_of_generate_or_is_refused(kind, saved, engine):
    check(kind, saved, engine)


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in families() if kind not in BROKEN])
def test_every_family_gives_the_tokens_of_generate_or_is_refused(kind, saved, engine):
    check(kind, saved, engine)


def test_at_least_a_hundred_families_are_not_refused():
    assert len(set(families()) - set(REFUSED) - set(BROKEN)) >= 100


def test_random_weights_need_no_files(tmp_path, engine, checkpoint_type):
    tiny_model("olmo2").config.save_pretrained(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text()) | {"architectures": ["Olmo2ForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    checkpoint = forced(checkpoint_type)(tmp_path, None)
    checkpoint.config = ServeConfig.model_validate({"load": {"load_format": "dummy"}})

    tokens = engine(checkpoint).generate(PROMPTS, GREEDY)

    assert [len(each) for each in tokens] == [12] * 5
