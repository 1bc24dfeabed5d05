"""PURE. The protobuf messages of MEXC spot, built at import from the tables of the venue sheet `mexc`, section 2.1.

The official definition as of 2026-06-17 (`tradeId`, `version` and `lastOrderCreateTime` included): proto3, no package. There is
no generated file, so no generator's version to agree with, and what the venue adds later is skipped by the runtime.

Bodies that the sheet does not spell out (retired or undocumented topics) are messages without fields here: they are told
apart by name, and what is in them is kept as unknown fields, so that every frame serialises to the bytes it came as.
"""

from typing import Any, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

FILE: Final = "fleet/mexc_spot.proto"  # in a pool of our own: nobody else's definitions can clash with it
WRAPPER: Final = "PushDataV3ApiWrapper"
BODY: Final = "body"  # the oneof of the wrapper

# A field is `number name type`; types: a scalar, a message; `*` repeated, `?` optional (presence is on the wire).
_MESSAGES: Final = {
    "PublicAggreDepthV3ApiItem": "1 price string; 2 quantity string",
    "PublicAggreDepthsV3Api": (
        "1 asks *PublicAggreDepthV3ApiItem; 2 bids *PublicAggreDepthV3ApiItem; 3 eventType string; "
        "4 fromVersion string; 5 toVersion string; 6 lastOrderCreateTime int64"
    ),
    "PublicLimitDepthV3ApiItem": "1 price string; 2 quantity string",
    "PublicLimitDepthsV3Api": (
        "1 asks *PublicLimitDepthV3ApiItem; 2 bids *PublicLimitDepthV3ApiItem; 3 eventType string; 4 version string; "
        "5 lastOrderCreateTime int64"
    ),
    "PublicAggreBookTickerV3Api": (
        "1 bidPrice string; 2 bidQuantity string; 3 askPrice string; 4 askQuantity string; 5 version string; "
        "6 lastOrderCreateTime int64"
    ),
    "PublicAggreDealsV3ApiItem": "1 price string; 2 quantity string; 3 tradeType int32; 4 time int64; 5 tradeId string",
    "PublicAggreDealsV3Api": "1 deals *PublicAggreDealsV3ApiItem; 2 eventType string",
    "PublicSpotKlineV3Api": (
        "1 interval string; 2 windowStart int64; 3 openingPrice string; 4 closingPrice string; 5 highestPrice string; "
        "6 lowestPrice string; 7 volume string; 8 amount string; 9 windowEnd int64"
    ),
    "PrivateOrdersV3Api": (
        "1 id string; 2 clientId string; 3 price string; 4 quantity string; 5 amount string; 6 avgPrice string; "
        "7 orderType int32; 8 tradeType int32; 9 isMaker bool; 10 remainAmount string; 11 remainQuantity string; "
        "12 lastDealQuantity ?string; 13 cumulativeQuantity string; 14 cumulativeAmount string; 15 status int32; "
        "16 createTime int64; 17 market ?string; 18 triggerType ?int32; 19 triggerPrice ?string; 20 state ?int32; "
        "21 ocoId ?string; 22 routeFactor ?string; 23 symbolId ?string; 24 marketId ?string; "
        "25 marketCurrencyId ?string; 26 currencyId ?string"
    ),
    "PrivateDealsV3Api": (
        "1 price string; 2 quantity string; 3 amount string; 4 tradeType int32; 5 isMaker bool; 6 isSelfTrade bool; "
        "7 tradeId string; 8 clientOrderId string; 9 orderId string; 10 feeAmount string; 11 feeCurrency string; "
        "12 time int64"
    ),
    "PrivateAccountV3Api": (
        "1 vcoinName string; 2 coinId string; 3 balanceAmount string; 4 balanceAmountChange string; "
        "5 frozenAmount string; 6 frozenAmountChange string; 7 type string; 8 time int64"
    ),
    "PublicDealsV3Api": "",
    "PublicIncreaseDepthsV3Api": "",
    "PublicBookTickerV3Api": "",
    "PublicMiniTickerV3Api": "",
    "PublicMiniTickersV3Api": "",
    "PublicBookTickerBatchV3Api": "",
    "PublicIncreaseDepthsBatchV3Api": "",
    WRAPPER: "1 channel string; 3 symbol ?string; 4 symbolId ?string; 5 createTime ?int64; 6 sendTime ?int64",
}
_BODIES: Final = (  # members of the oneof, numbers from 301 on
    ("publicDeals", "PublicDealsV3Api"),
    ("publicIncreaseDepths", "PublicIncreaseDepthsV3Api"),
    ("publicLimitDepths", "PublicLimitDepthsV3Api"),
    ("privateOrders", "PrivateOrdersV3Api"),
    ("publicBookTicker", "PublicBookTickerV3Api"),
    ("privateDeals", "PrivateDealsV3Api"),
    ("privateAccount", "PrivateAccountV3Api"),
    ("publicSpotKline", "PublicSpotKlineV3Api"),
    ("publicMiniTicker", "PublicMiniTickerV3Api"),
    ("publicMiniTickers", "PublicMiniTickersV3Api"),
    ("publicBookTickerBatch", "PublicBookTickerBatchV3Api"),
    ("publicIncreaseDepthsBatch", "PublicIncreaseDepthsBatchV3Api"),
    ("publicAggreDepths", "PublicAggreDepthsV3Api"),
    ("publicAggreDeals", "PublicAggreDealsV3Api"),
    ("publicAggreBookTicker", "PublicAggreBookTickerV3Api"),
)
_FIRST_BODY: Final = 301
_SCALARS: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
}


def _add_field(message: DescriptorProto, number: int, name: str, kind: str) -> FieldDescriptorProto:
    repeated, plain = kind.startswith("*"), kind.lstrip("*?")
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if plain in _SCALARS:
        field.type = _SCALARS[plain]
    else:
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{plain}"
    return field


def _add_message(file: FileDescriptorProto, name: str, text: str) -> None:
    message = file.message_type.add(name=name)
    fields = [part.split() for part in text.split(";") if part.strip()]
    if name == WRAPPER:
        message.oneof_decl.add(name=BODY)
        for number, (body, kind) in enumerate(_BODIES, _FIRST_BODY):
            _add_field(message, number, body, kind).oneof_index = 0
    for number_text, field_name, kind in fields:
        field = _add_field(message, int(number_text), field_name, kind)
        if kind.startswith("?"):  # proto3 spells presence as a oneof of one; such oneofs stand behind the real ones
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field_name}")


def _build() -> Any:
    """The class of the wrapper; its attributes are made at run time, so no type checker can know them."""
    file = FileDescriptorProto(name=FILE, syntax="proto3")
    for name, text in _MESSAGES.items():
        _add_message(file, name, text)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(WRAPPER))


Wrapper: Final[Any] = _build()
"""`PushDataV3ApiWrapper`: every binary frame of spot is one of these."""
