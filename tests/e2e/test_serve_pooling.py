"""A model that embeds and one that classifies, behind the real server, asked by the official client."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import tokenizers
import torch
from pooling_models import ENCODER, PoolingCheckpoint, make_body
from serving import Serve
from transformers import BertConfig, BertForSequenceClassification

WORDS = (
    "the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "then", "some", "more", "words",
)  # fmt: skip
TEXTS = ["the quick fox", "a lazy dog jumps over the quick brown fox and some more", "words"]
FLAGS = ("--disable-frontend-multiprocessing", "--served-model-name", "small", "--max-num-seqs", "16")


def write_tokenizer(folder: Path) -> tokenizers.Tokenizer:
    """BERT's, over whole words."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(WORDS))]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")
    return tokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> PoolingCheckpoint:
    return make_body("bert", tmp_path_factory.mktemp("embeds"))


@pytest.fixture(scope="module")
def encode(checkpoint: PoolingCheckpoint) -> Callable[..., Any]:
    return write_tokenizer(checkpoint.path).encode


@pytest.fixture(scope="module")
def embeds(
    checkpoint: PoolingCheckpoint, encode: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serve]:
    flags = (
        "--pooler-config", json.dumps({"pooling_type": "MEAN", "enable_chunked_processing": True, "max_embed_len": 300}),
        "--hf-overrides", json.dumps({"matryoshka_dimensions": [8, 32]}),
        "--max-model-len", "64",
    )  # fmt: skip
    log = tmp_path_factory.mktemp("log") / "embeds"
    with Serve(log, *FLAGS, *flags, model=checkpoint.path) as server:
        yield server


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.manual_seed(5)
    model = BertForSequenceClassification(BertConfig(**ENCODER, num_labels=1, initializer_range=0.2)).eval()
    folder = tmp_path_factory.mktemp("classifies")
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder, model


@pytest.fixture(scope="module")
def classifies(cross_encoder: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    log = tmp_path_factory.mktemp("log") / "classifies"
    with Serve(log, *FLAGS, model=cross_encoder[0]) as server:
        yield server


@pytest.fixture(scope="module")
def client(embeds: Serve) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{embeds.url}/v1", api_key="none", max_retries=0)


@pytest.fixture
def reference(checkpoint: PoolingCheckpoint, encode: Callable[..., Any]) -> Callable[[str], np.ndarray]:
    def vector(text: str) -> np.ndarray:
        states = checkpoint.states(encode(text).ids)
        return torch.nn.functional.normalize(states.mean(0), dim=0).numpy()

    return vector


def post(server: Serve, path: str, status: int = 200, **body: Any) -> Any:
    reply = httpx.post(server.url + path, json=body, timeout=30)
    assert reply.status_code == status, reply.text
    return reply.json()


def test_the_client_gets_the_vectors_of_transformers(
    client: openai.OpenAI, reference: Callable[[str], np.ndarray], encode: Callable[..., Any]
) -> None:
    reply = client.embeddings.create(model="small", input=TEXTS)
    assert [each.index for each in reply.data] == [0, 1, 2]
    for each, text in zip(reply.data, TEXTS, strict=True):
        np.testing.assert_allclose(each.embedding, reference(text), atol=1e-5)
    count = sum(len(encode(text).ids) for text in TEXTS)
    assert (reply.usage.prompt_tokens, reply.usage.total_tokens) == (count, count)

    async def ask() -> Any:
        async with openai.AsyncOpenAI(base_url=client.base_url, api_key="none") as other:
            return await other.embeddings.create(model="small", input=TEXTS, encoding_format="float")

    assert [each.embedding for each in asyncio.run(ask()).data] == [each.embedding for each in reply.data]


def test_token_ids_stand_for_the_text_they_were_made_of(
    client: openai.OpenAI, encode: Callable[..., Any]
) -> None:
    as_text = client.embeddings.create(model="small", input=TEXTS[1])
    as_tokens = client.embeddings.create(model="small", input=[encode(TEXTS[1]).ids])
    assert as_text.data[0].embedding == as_tokens.data[0].embedding


def test_base64_holds_little_endian_float32(embeds: Serve) -> None:
    [as_text] = post(embeds, "/v1/embeddings", input=TEXTS[0], encoding_format="base64")["data"]
    [as_list] = post(embeds, "/v1/embeddings", input=TEXTS[0])["data"]
    assert np.frombuffer(base64.b64decode(as_text["embedding"]), "<f4").tolist() == as_list["embedding"]


def test_more_inputs_than_the_engine_holds_come_back_in_order(client: openai.OpenAI) -> None:
    texts = [" ".join(WORDS[: 1 + index % 14]) for index in range(150)]
    many = client.embeddings.create(model="small", input=texts).data
    few = client.embeddings.create(model="small", input=texts[:14]).data
    for index, each in enumerate(many):
        np.testing.assert_allclose(each.embedding, few[index % 14].embedding, atol=1e-5)


def test_dimensions_cut_and_scale_again(
    client: openai.OpenAI, reference: Callable[[str], np.ndarray]
) -> None:
    cut = client.embeddings.create(model="small", input=TEXTS[0], dimensions=8).data[0].embedding
    expected = reference(TEXTS[0])[:8]
    np.testing.assert_allclose(cut, expected / np.linalg.norm(expected), atol=1e-5)
    with pytest.raises(openai.BadRequestError, match="allows 8, 32") as caught:
        client.embeddings.create(model="small", input=TEXTS[0], dimensions=9)
    assert caught.value.param == "dimensions"


def test_a_text_beyond_the_context_is_embedded_in_pieces(
    embeds: Serve, checkpoint: PoolingCheckpoint
) -> None:
    token_ids = [4 + index % 10 for index in range(150)]
    [found] = post(embeds, "/v1/embeddings", input=[token_ids])["data"]
    vector = sum(
        len(piece) * torch.nn.functional.normalize(checkpoint.states(piece).mean(0), dim=0)
        for piece in (token_ids[:64], token_ids[64:128], token_ids[128:])
    )
    assert isinstance(vector, torch.Tensor)
    np.testing.assert_allclose(
        found["embedding"], torch.nn.functional.normalize(vector, dim=0).numpy(), atol=1e-5
    )
    error = post(embeds, "/v1/embeddings", 400, input=[[4] * 301])["error"]
    assert "maximum context length is 300" in error["message"]


def test_texts_are_cut_before_the_special_tokens(embeds: Serve) -> None:
    long, short = " ".join(WORDS * 6), " ".join(WORDS[:3])
    cut = post(embeds, "/v1/embeddings", input=long, truncate_prompt_tokens=5)
    assert cut["data"] == post(embeds, "/v1/embeddings", input=short)["data"]
    assert cut["usage"]["prompt_tokens"] == 5
    assert post(embeds, "/pooling", input=long, truncate_prompt_tokens=-1)["usage"]["prompt_tokens"] == 64
    post(embeds, "/v1/embeddings", 400, input=long, truncate_prompt_tokens=65)


def test_pooling_gives_a_row_for_each_token_when_asked(
    embeds: Serve, checkpoint: PoolingCheckpoint, encode: Callable[..., Any]
) -> None:
    [found] = post(embeds, "/pooling", input=TEXTS[0], task="token_embed", normalize=False)["data"]
    np.testing.assert_allclose(found["data"], checkpoint.states(encode(TEXTS[0]).ids).numpy(), atol=1e-4)


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
def test_vectors_are_scored_by_their_cosine(
    path: str, embeds: Serve, reference: Callable[[str], np.ndarray]
) -> None:
    scores = [each["score"] for each in post(embeds, path, text_1=TEXTS[0], text_2=TEXTS[1:])["data"]]
    np.testing.assert_allclose(
        scores, [reference(TEXTS[0]) @ reference(text) for text in TEXTS[1:]], atol=1e-5
    )


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_documents_are_ranked_best_first(path: str, classifies: Serve, cross_encoder: Any) -> None:
    reply = post(classifies, path, query=TEXTS[0], documents=[*TEXTS, {"text": "some more"}], top_n=3)
    scores = pair_scores(cross_encoder, TEXTS[0], [*TEXTS, "some more"])
    assert [each["index"] for each in reply["results"]] == np.argsort(-scores).tolist()[:3]
    for each in reply["results"]:
        assert each["document"]["text"] == [*TEXTS, "some more"][each["index"]]
        assert each["relevance_score"] == pytest.approx(scores[each["index"]], abs=1e-5)


def test_a_pair_is_scored_by_the_model_that_reads_both(classifies: Serve, cross_encoder: Any) -> None:
    reply = post(classifies, "/score", text_1=TEXTS, text_2=TEXTS[::-1])
    given = [each["score"] for each in reply["data"]]
    expected = [
        pair_scores(cross_encoder, first, [second])[0]
        for first, second in zip(TEXTS, TEXTS[::-1], strict=True)
    ]
    np.testing.assert_allclose(given, expected, atol=1e-5)
    [logit] = post(classifies, "/score", text_1=TEXTS[0], text_2=TEXTS[2], use_activation=False)["data"]
    assert given[0] == pytest.approx(1 / (1 + np.exp(-logit["score"])), abs=1e-5)


def pair_scores(cross_encoder: Any, first: str, seconds: list[str]) -> np.ndarray:
    """Of transformers."""
    folder, model = cross_encoder
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    pairs = [tokenizer.encode(first, second) for second in seconds]
    with torch.inference_mode():
        logits = [
            model(torch.tensor([pair.ids]), token_type_ids=torch.tensor([pair.type_ids])).logits[0, 0]
            for pair in pairs
        ]
    return torch.stack(logits).sigmoid().numpy()


def test_classes_come_with_their_names(classifies: Serve) -> None:
    [found] = post(classifies, "/classify", input=TEXTS[0])["data"]
    assert (found["label"], found["num_classes"], len(found["probs"])) == ("LABEL_0", 1, 1)
    [logit] = post(classifies, "/classify", input=TEXTS[0], activation=False)["data"][0]["probs"]
    assert found["probs"][0] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/embeddings", {"input": "words"}, "model"),
        ("/pooling", {"input": "words", "task": "embed"}, "task"),
        ("/v1/embeddings", {}, "input"),
        ("/v1/embeddings", {"input": []}, "input"),
        ("/classify", {"input": [[1, 211]]}, "input"),
        ("/classify", {"input": "words " * 200}, "input"),
        ("/classify", {"input": ["words"] * 2049}, "input"),
        ("/score", {"text_1": ["a", "b"], "text_2": ["a", "b", "c"]}, "text_1"),
        ("/rerank", {"query": "a", "documents": []}, "documents"),
        ("/rerank", {"query": "a", "documents": ["a"], "surprise": 1}, "surprise"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}, "model"),
        ("/v1/completions", {"prompt": "a"}, "model"),
    ],
)
def test_what_this_model_does_not_do_is_a_400_that_names_the_field(
    classifies: Serve, path: str, body: dict[str, Any], param: str
) -> None:
    error = post(classifies, path, 400, **body)["error"]
    assert error["param"] == param, error


def test_inputs_are_counted_as_prompts(embeds: Serve) -> None:
    name = "vllm:request_prompt_tokens_sum"
    before = embeds.metric(name)
    tokens = post(embeds, "/v1/embeddings", input=TEXTS)["usage"]["prompt_tokens"]
    assert embeds.metric(name) - before == tokens
