"""The bodies of requests and answers, as /docs shows them and as they are checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
)

from embedx.server.inputs import (
    ID_SCHEMA,
    TEXT_SCHEMA,
    Text,
    Texts,
    TextsOrIds,
    checked_items,
    checked_texts,
    list_of,
)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PredictRequest(_Body):
    """DeepSparse's request."""

    inputs: Texts = Field(examples=["The transformers embedding extraction Pipeline is the best!"])


class PredictResponse(BaseModel):
    """DeepSparse's answer: a flat list of floats per text, in order."""

    embeddings: list[list[float]]


class EmbedRequest(_Body):
    """text-embeddings-inference's request."""

    inputs: TextsOrIds = Field(examples=[["What is Deep Learning?", "And what is not?"]])
    normalize: bool = Field(True, description="Divide each vector by its L2 norm.")
    truncate: bool | None = Field(
        None, description="Cut off what is too long; by default as the server is started."
    )
    truncation_direction: Literal["right", "Right"] = "right"
    prompt_name: str | None = Field(None, description="One of the model's prompts.")
    dimensions: int | None = Field(None, ge=1, description="Keep only the first dimensions.")


class EmbedAllRequest(_Body):
    """text-embeddings-inference's request for token embeddings."""

    inputs: TextsOrIds = Field(examples=["What is Deep Learning?"])
    truncate: bool | None = None
    truncation_direction: Literal["right", "Right"] = "right"
    prompt_name: str | None = None


class SimilarityInput(_Body):
    """A sentence and those to compare it with."""

    source_sentence: Text
    sentences: Annotated[
        list[str],
        PlainValidator(lambda value: checked_texts(checked_items(value))),
        WithJsonSchema(list_of(TEXT_SCHEMA)),
    ]


class SimilarityParameters(_Body):
    """How texts are read before they are compared."""

    truncate: bool | None = None
    truncation_direction: Literal["right", "Right"] = "right"
    prompt_name: str | None = None


class SimilarityRequest(_Body):
    """text-embeddings-inference's request for similarities."""

    inputs: SimilarityInput = Field(
        examples=[{"source_sentence": "a cat", "sentences": ["a dog", "a stone"]}]
    )
    parameters: SimilarityParameters | None = None


class TokenizeRequest(_Body):
    """text-embeddings-inference's request for tokens."""

    inputs: Texts = Field(examples=["What is Deep Learning?"])
    add_special_tokens: bool = True
    prompt_name: str | None = None


class TokenInfo(BaseModel):
    """A token, and where it stands in the text."""

    id: int
    text: str
    special: bool
    start: int | None = Field(description="First character; null for special tokens.")
    stop: int | None = Field(description="Behind the last character.")
    kept: bool = Field(description="Whether the model sees it, or truncation cuts it off.")


class OpenAIRequest(_Body):
    """OpenAI's request."""

    input: TextsOrIds = Field(examples=["The food was delicious and the waiter..."])
    model: str | None = Field(None, description="An endpoint's name; by default the first.")
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(None, ge=1)
    user: str | None = Field(None, description="Accepted, and not used.")


class OpenAIEmbedding(BaseModel):
    """One vector, as floats or as base64 of little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class OpenAIUsage(BaseModel):
    """The tokens of all inputs, special ones included."""

    prompt_tokens: int
    total_tokens: int


class OpenAIResponse(BaseModel):
    """OpenAI's answer; the vectors have length 1."""

    object: Literal["list"]
    data: list[OpenAIEmbedding]
    model: str
    usage: OpenAIUsage


class OpenAIModel(BaseModel):
    """An endpoint, as OpenAI lists models."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "embedx"


class OpenAIModels(BaseModel):
    """All endpoints."""

    object: Literal["list"] = "list"
    data: list[OpenAIModel]


class TensorInfo(BaseModel):
    """A tensor's name, type and shape; -1 is any size."""

    name: str
    datatype: str
    shape: list[int]


class OipTensor(_Body):
    """A tensor of the Open Inference Protocol."""

    name: str = Field(max_length=200)
    shape: list[Annotated[int, Field(ge=0, le=2**31)]] = Field(min_length=1, max_length=2)
    datatype: Literal["BYTES", "INT64"]
    data: Annotated[
        list[Any],
        PlainValidator(checked_items),
        WithJsonSchema(
            {
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [TEXT_SCHEMA, ID_SCHEMA, list_of(ID_SCHEMA)]},
            }
        ),
    ]
    parameters: dict[str, Any] | None = None


class OipOutput(_Body):
    """An output that is asked for."""

    name: Literal["embeddings"]
    parameters: dict[str, Any] | None = None


class OipRequest(_Body):
    """The Open Inference Protocol's request: texts as BYTES, or input_ids and attention_mask."""

    id: str | None = Field(None, max_length=200)
    inputs: list[OipTensor] = Field(
        min_length=1,
        max_length=3,
        examples=[[{"name": "texts", "shape": [1], "datatype": "BYTES", "data": ["a text"]}]],
    )
    outputs: list[OipOutput] | None = Field(None, max_length=1)
    parameters: dict[str, Any] | None = None


def _protocol(body: object) -> str:
    inputs = body.get("inputs") if isinstance(body, dict) else None
    return (
        "oip"
        if isinstance(inputs, list) and inputs and isinstance(inputs[0], dict)
        else "deepsparse"
    )


InferRequest = Annotated[
    Annotated[PredictRequest, Tag("deepsparse")] | Annotated[OipRequest, Tag("oip")],
    Discriminator(_protocol),
]
"""What /v2/models/NAME/infer takes: later DeepSparse's body, or the Open Inference Protocol's."""


class OipResponseTensor(TensorInfo):
    """A tensor with its values, row by row."""

    data: list[float]


class OipResponse(BaseModel):
    """The Open Inference Protocol's answer."""

    model_name: str
    id: str | None = None
    outputs: list[OipResponseTensor]


class OipServer(BaseModel):
    """What the Open Inference Protocol says about a server."""

    name: str
    version: str
    extensions: list[str]


class OipModel(BaseModel):
    """What the Open Inference Protocol says about a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]


class OipReady(BaseModel):
    """Whether a model answers."""

    name: str
    ready: bool


class Health(BaseModel):
    """How the server is."""

    status: Literal["OK"] = "OK"
    live: bool = True
    ready: bool = True


class Info(BaseModel):
    """The model that the first endpoint serves, and the server's limits."""

    model_id: str
    model_sha: str | None = None
    model_dtype: str
    model_type: dict[str, Any]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_client_batch_size: int
    auto_truncate: bool
    version: str
    models: list[str]
