"""What processes ask a keeper: five questions that carry every block and blob there is.

A follower says how far it holds each chain (`have`) and gets what comes next; the same sentence acknowledges what came
before. Local folds, peers that replicate, a region that restores itself, the scrubber that mends and the fetch of
blobs all use these questions, so there is one path to make right.

All of it travels as msgpack: asks are tagged by `ask`, answers by `answer`. A *run* is an unbroken row of sealed
messages of one chain and epoch. A *range* is a closed pair of block numbers.
"""

import msgspec

Have = dict[str, dict[str, int]]  # chain -> epoch -> last block held, without a gap before it
Ranges = list[tuple[int, int]]
Lost = dict[str, dict[str, Ranges]]  # chain -> epoch -> ranges that nobody holds

WAIT_MS_MAX = 5_000  # longest a keeper holds a `follow` open; below the 2 min after which NATS forgets a reply mapping
ANSWER_BYTES_MAX = 4_000_000  # half of the log servers' max_payload of 8 MB


class Heads(msgspec.Struct, tag="heads", tag_field="ask"):
    """Which epochs of these chains (none named: all of the class) do you hold, and how far?"""

    chains: list[str] = []


class Follow(msgspec.Struct, tag="follow", tag_field="ask"):
    """I hold this much; send what comes next, or wait up to `wait_ms` for it."""

    have: Have = {}
    wait_ms: int = 2_000
    max_bytes: int = 1_000_000
    relay_after_ms: int = 0  # offer other regions' chains only when they have lain here this long
    safe_known: int = -2  # version of `safe` last heard; answer at once when it has changed (−2: do not)


class Range(msgspec.Struct, tag="range", tag_field="ask"):
    """Send blocks first..last of one epoch, as many as you hold and `max_bytes` allows."""

    chain: str
    epoch: str
    first: int
    last: int
    max_bytes: int = 1_000_000


class BlobPart(msgspec.Struct, tag="blob", tag_field="ask"):
    """Send `size` bytes from `offset` of the blob called `sha` in this class."""

    sha: str
    offset: int = 0
    size: int = 1_000_000


Ask = Heads | Follow | Range | BlobPart


class Head(msgspec.Struct):
    """How far one epoch is held: blocks first..last, of which `missing` are damaged here and `lost` everywhere."""

    epoch: str
    first: int
    last: int
    digest: bytes
    opened: int  # hlc of the first block held, microseconds; orders epochs
    missing: Ranges = []
    lost: Ranges = []


class HeadsAnswer(msgspec.Struct, tag="heads", tag_field="answer"):
    chains: dict[str, list[Head]]
    keeper: str = ""  # a random id of the process that answers: two keepers tell each other apart


class Run(msgspec.Struct, array_like=True):
    """An unbroken row of sealed messages. `epoch` is the stream's: a branch kept after an equivocation has its own."""

    chain: str
    epoch: str
    first: int
    messages: list[bytes]


class Blocks(msgspec.Struct, tag="blocks", tag_field="answer"):
    runs: list[Run]
    held: Have = {}  # what this region holds on disk
    safe: Have = {}  # what another permitted failure domain holds too
    safe_version: int = 0  # changes when `safe` does
    lost: Lost = {}  # ranges a follower may step over: they exist nowhere


class Chunk(msgspec.Struct, tag="chunk", tag_field="answer"):
    data: bytes
    total: int  # size of the whole blob; -1: not held here


class Acked(msgspec.Struct, tag="acked", tag_field="answer"):
    """The block that holds the entries is on disk here. `hlc` is the block's stamp in microseconds."""

    chain: str
    epoch: str
    n: int
    hlc: int


class Failed(msgspec.Struct, tag="failed", tag_field="answer"):
    error: str  # overloaded | starting | refused
    message: str = ""


Answer = HeadsAnswer | Blocks | Chunk | Acked | Failed

encode = msgspec.msgpack.Encoder().encode
decode_ask = msgspec.msgpack.Decoder(Ask).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
