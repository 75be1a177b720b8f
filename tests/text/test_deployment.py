"""Model folders: finding them, and what their files say."""

from __future__ import annotations

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.errors import DeploymentError, InputError
from embedx.text.deployment import read_deployment
from embedx.text.modules import Normalize, Pooling
from tests.text.files import MODELS, folder_with, modules, write
from tests.tiny import deployment


def test_files_are_read_beside_the_onnx_folder(tmp_path: Path) -> None:
    path = deployment(tmp_path, place="onnx/model.onnx", pooling={}) / "onnx" / "model.onnx"
    found = read_deployment(path)
    assert found.folder == tmp_path
    assert found.modules == (Pooling(("mean",)), Normalize())


def test_static_embeddings_have_no_special_tokens_and_no_limit(tmp_path: Path) -> None:
    listed = [{"path": "0_StaticEmbedding", "type": f"{MODELS}.StaticEmbedding"}]
    write(tmp_path / "0_StaticEmbedding" / "tokenizer.json", "{}")
    found = read_deployment(folder_with(tmp_path, modules=listed))
    assert not found.adds_special_tokens
    assert found.tokenizer == tmp_path / "0_StaticEmbedding"
    assert found.max_seq_length is not None
    assert found.max_seq_length > 10**9
    assert read_deployment(folder_with(tmp_path, modules=modules())).adds_special_tokens


def test_the_transformer_may_have_a_folder_of_its_own(tmp_path: Path) -> None:
    listed = [{"path": "0_Transformer", "type": f"{MODELS}.Transformer"}]
    path = folder_with(
        tmp_path,
        modules=listed,
        **{
            "0_Transformer__tokenizer_config": {"model_max_length": 77},
            "0_Transformer__sentence_bert_config": {"do_lower_case": True},
            "0_Transformer__config": {"model_type": "roberta"},
        },
    )
    found = read_deployment(path)
    assert (found.max_seq_length, found.do_lower_case) == (77, True)
    assert found.config["model_type"] == "roberta"


def test_what_concerns_tokens_may_lie_elsewhere(tmp_path: Path) -> None:
    path = folder_with(
        tmp_path / "model",
        tokenizer_config={"model_max_length": 5},
        config_sentence_transformers={"prompts": {"q": "q: "}},
    )
    write(tmp_path / "elsewhere" / "tokenizer_config.json", {"pad_token": "[P]"})
    write(tmp_path / "elsewhere" / "sentence_bert_config.json", {"max_seq_length": 9})
    other = write(tmp_path / "elsewhere" / "other.json", "{}")
    for place in (tmp_path / "elsewhere", other):
        found = read_deployment(path, place)
        assert found.tokenizer == place
        assert found.tokenizer_config["pad_token"] == "[P]"
        assert (found.max_seq_length, found.prompts) == (9, {"q": "q: "})
    with pytest.raises(InputError, match="no such file or folder"):
        read_deployment(path, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config": "[1]"}, "holds list"),
        ({"config": "{"}, "not readable as JSON"),
        ({"config": {"max_position_embeddings": "many"}}, "expected a length"),
        ({"config": {"max_position_embeddings": -3}}, "expected a length"),
        ({"modules": {"a": 1}}, "must be a list"),
        ({"modules": [{"type": "os.system", "path": ""}]}, "'os.system' is not supported"),
        ({"modules": [{"type": f"{MODELS}.Pooling", "path": "../elsewhere"}]}, "leads out"),
        ({"1_Pooling__config": {"pooling_mode_cls_token": "yes"}}, "pooling_mode_cls_token"),
        ({"1_Pooling__config": {"pooling_mode": "best"}}, "none of"),
        ({"1_Pooling__config": {"pooling_mode": ["mean", "best"]}}, "none of"),
        ({"1_Pooling__config": {"pooling_mode": []}}, "none of"),
        ({"modules": modules("Pooling")}, r"Pooling/config\.json is missing"),
        ({"modules": [*modules(), *modules()]}, "Transformer can only be the first module"),
        ({"config_sentence_transformers": {"prompts": ["a"]}}, "'prompts' is"),
        ({"config_sentence_transformers": {"prompts": {"a": 3}}}, "prompts: 'a' is 3"),
        ({"config_sentence_transformers": {"truncate_dim": 0}}, "'truncate_dim' is 0"),
        (
            {"config_sentence_transformers": {"prompts": {"a": "A"}, "default_prompt_name": "b"}},
            r"'default_prompt_name' is 'b', which is none of the prompts \(a\)",
        ),
        ({"tokenizer_config": {"do_lower_case": "no"}}, "'do_lower_case' is 'no', expected bool"),
        ({"tokenizer_config": {"model_max_length": True}}, "expected a length"),
    ],
)
def test_fields_that_make_no_sense_are_named(
    tmp_path: Path, files: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeploymentError, match=message):
        read_deployment(folder_with(tmp_path, **files))


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, 1e40, float("nan"), "", "x", "\0", "../x", [], ["a"], [None], [[]], {}]
)


KEYS = [
    ("config.json", ("max_position_embeddings", "model_type", "tokenizer_class")),
    ("1_Pooling/config.json", ("pooling_mode", "pooling_mode_cls_token", "include_prompt", "x")),
    ("tokenizer_config.json", ("model_max_length", "truncation_side", "added_tokens_decoder")),
    ("config_sentence_transformers.json", ("prompts", "default_prompt_name", "truncate_dim")),
    ("sentence_bert_config.json", ("max_seq_length", "tokenizer_args", "processing_kwargs")),
    ("sentence_bert_config.json", ("modality_config", "transformer_task", "do_lower_case")),
    ("modules.json", ("type", "path")),
]


@given(st.data())
def test_no_value_makes_reading_fail_in_another_way(data: st.DataObject) -> None:
    name, keys = data.draw(st.sampled_from(KEYS))
    nested = st.one_of(ODD, ODD.map(lambda v: {"text": v}), ODD.map(lambda v: {"text": {"a": v}}))
    content = data.draw(st.dictionaries(st.sampled_from(keys), nested))
    with TemporaryDirectory() as folder:
        path = folder_with(Path(folder), modules=modules(), **{"1_Pooling__config": {}})
        write(Path(folder) / name, [content] if name == "modules.json" else content)
        with contextlib.suppress(DeploymentError):
            read_deployment(path)


@pytest.mark.parametrize(
    ("name", "content", "key"),
    [
        ("1_Pooling/config.json", {"pooling_mode_attention": True}, "pooling_mode_attention"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "model_type"),
        ("config_sentence_transformers.json", {"similarity_fn_name": "maxsim"}, "similarity_fn"),
        ("tokenizer_config.json", {"truncation_side": "middle"}, "truncation_side"),
        ("tokenizer_config.json", {"wordpieces_prefix": "@@"}, "wordpieces_prefix"),
        ("tokenizer_config.json", {"fix_mistral_regex": True}, "fix_mistral_regex"),
        *(
            ("sentence_bert_config.json", content, key)
            for content, key in (
                ({"transformer_task": "fill-mask"}, "transformer_task"),
                ({"module_output_name": "sentence_embedding"}, "module_output_name"),
                ({"query_length": 32}, "query_length"),
                ({"document_length": 300}, "document_length"),
                ({"query_expansion": {"length": 32}}, "query_expansion"),
                ({"tokenizer_name_or_path": "other"}, "tokenizer_name_or_path"),
                ({"modality_config": {"text": {"method": "get_text_features"}}}, "text"),
                ({"modality_config": {}}, "text"),
                ({"processing_kwargs": {"text": {"add_special_tokens": False}}}, "add_special"),
                ({"processing_kwargs": {"common": {"truncation": False}}}, "truncation"),
                ({"tokenizer_args": {"truncation_side": "middle"}}, "truncation_side"),
            )
        ),
    ],
)
def test_what_would_change_the_embeddings_is_refused_by_file_and_key(
    tmp_path: Path, name: str, content: dict[str, Any], key: str
) -> None:
    path = folder_with(tmp_path)
    write(tmp_path / name, content)
    with pytest.raises(DeploymentError, match=rf"{name}.*'{key}.*changes the result"):
        read_deployment(path)


def test_a_chat_template_is_refused(tmp_path: Path) -> None:
    text = {"method": "forward", "method_output_name": "last_hidden_state"}
    config = {"modality_config": {"text": text, "image": {"method": "other"}}}
    read_deployment(folder_with(tmp_path, sentence_bert_config=config))
    config["modality_config"]["message"] = text
    with pytest.raises(DeploymentError, match=r"modality_config: 'message'.* to leave it out"):
        read_deployment(folder_with(tmp_path, sentence_bert_config=config))


POSITIONS = {"max_position_embeddings": 514}


LIMIT = {"model_max_length": 4}


@pytest.mark.parametrize(
    ("files", "length"),
    [
        ({"sentence_bert_config": {"max_seq_length": 256}, "config": POSITIONS}, 256),
        ({"config": POSITIONS}, 514),
        ({"config": {**POSITIONS, "model_type": "roberta"}}, 512),
        ({"tokenizer_config": {"model_max_length": 1e30}}, None),
        ({"tokenizer_config": {"model_max_length": 128}, "config": POSITIONS}, 128),
        ({"tokenizer_config": {"max_len": 128}, "config": POSITIONS}, 128),
        ({"config": {"max_position_embeddings": -1, "model_type": "xlnet"}}, None),
        ({"sentence_bert_config": {"max_seq_length": None}, "config": POSITIONS}, 514),
        ({"sentence_bert_config": {"max_seq_length": 600}, "config": POSITIONS}, 600),
        (
            {"sentence_bert_config": {"max_seq_length": 8, "tokenizer_args": LIMIT}},
            4,
        ),
        (
            {"sentence_bert_config": {"max_seq_length": 8, "processor_kwargs": LIMIT}},
            4,
        ),
        (
            {"sentence_bert_config": {"processing_kwargs": {"text": {"max_length": 3}}}},
            3,
        ),
        ({"sentence_bert_config": {}, "sentence_xlnet_config": {"max_seq_length": 5}}, 5),
        (
            {
                "sentence_roberta_config": {"max_seq_length": 7},
                "sentence_xlnet_config": {"max_seq_length": 5},
            },
            7,
        ),
        ({}, None),
    ],
)
def test_the_maximal_length_comes_from_the_first_file_that_says(
    tmp_path: Path, files: dict[str, Any], length: int | None
) -> None:
    assert read_deployment(folder_with(tmp_path, **files)).max_seq_length == length


@pytest.mark.parametrize(
    "kind", ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"]
)
def test_older_names_of_the_same_file_are_known(tmp_path: Path, kind: str) -> None:
    files = {f"sentence_{kind}_config": {"max_seq_length": 4, "do_lower_case": True}}
    found = read_deployment(folder_with(tmp_path, **files))
    assert (found.max_seq_length, found.do_lower_case) == (4, True)


def test_arguments_of_the_tokenizer_win_over_its_own_file(tmp_path: Path) -> None:
    found = read_deployment(
        folder_with(
            tmp_path,
            special_tokens_map={"pad_token": "[P]", "sep_token": "[S]"},
            tokenizer_config={"truncation_side": "right", "sep_token": "[T]"},
            sentence_bert_config={"tokenizer_args": {"truncation_side": "left"}},
        )
    )
    assert found.tokenizer_config["truncation_side"] == "left"
    assert (found.tokenizer_config["pad_token"], found.tokenizer_config["sep_token"]) == (
        "[P]",
        "[T]",
    )


def test_prompts_and_similarity(tmp_path: Path) -> None:
    content = {"prompts": {"query": "q: ", "x": None}, "default_prompt_name": "query"}
    found = read_deployment(folder_with(tmp_path, config_sentence_transformers=content))
    assert (found.prompts, found.default_prompt_name) == ({"query": "q: ", "x": ""}, "query")
    assert (found.similarity, found.truncate_dim) == ("cosine", None)


def test_two_prompts_are_there_for_every_model(tmp_path: Path) -> None:
    content = {"prompts": {}, "default_prompt_name": "document", "truncate_dim": 8}
    found = read_deployment(folder_with(tmp_path, config_sentence_transformers=content))
    assert (found.default_prompt_name, found.truncate_dim) == ("document", 8)
