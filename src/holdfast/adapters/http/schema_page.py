"""The page at /schema: every call and every type of the OpenAPI object in plain HTML, with no script and no other host.

It must open where there is no internet, and must tell nobody who opens it, so everything it needs is in it.
"""

from html import escape
from typing import Any

from litestar import Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

METHODS = ("get", "head", "post", "put", "patch", "delete")
Schema = dict[str, Any]
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Holdfast: calls</title><style>
:root{color-scheme:dark light;--ground:#0B1416;--surface:#132125;--line:#24383D;--text:#E8F1EE;--quiet:#9DB3AF;
--kelp:#5BC2A2;--sky:#7FC1E3}
@media(prefers-color-scheme:light){:root{--ground:#F6F8F7;--surface:#FFF;--line:#D9E2DF;--text:#10201D;--quiet:#50655F;
--kelp:#1F7A62;--sky:#1D6A93}}
body{max-width:880px;margin:0 auto;padding:28px 16px;background:var(--ground);color:var(--text);
font:14px/1.4 system-ui,sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:28px}h2{font-size:20px;margin-top:40px}h3{font-size:16px;margin:0;overflow-wrap:anywhere}
section{background:var(--surface);border:1px solid var(--line);border-radius:14px;padding:16px;margin:12px 0}
h3 b{color:var(--kelp)}a{color:var(--sky)}p{margin:4px 0}h4,.q{color:var(--quiet);font-size:12px}h4{margin:12px 0 4px}
table{border-collapse:collapse;width:100%}td{border-top:1px solid var(--line);padding:4px 12px 4px 0;vertical-align:top}
td:first-child{width:30%;overflow-wrap:anywhere}</style>"""


class SchemaPage(OpenAPIRenderPlugin):
    """Serves `page` at /schema."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: Schema) -> bytes:
        """Return the page. The arguments are Litestar's."""
        return page(openapi_schema).encode()


def page(spec: Schema) -> str:
    """Return the HTML page of an OpenAPI object: calls in its order, then the types they name."""
    kinds: dict[str, Schema] = spec["components"]["schemas"]
    calls = [
        _call(method, path, operations[method], kinds)
        for path, operations in spec["paths"].items() for method in METHODS if method in operations
    ]  # fmt: skip
    types = [_kind(name, kinds[name]) for name in sorted(kinds)]
    lead = 'For programs: <a href="/schema/openapi.json">openapi.json</a>. Bodies with fields may also be msgpack.'
    title = escape(f"{spec['info']['title']} {spec['info']['version']}")
    return f"{HEAD}<h1>{title}</h1><p>{lead}</p><h2>Calls</h2>{''.join(calls)}<h2>Types</h2>{''.join(types)}</html>\n"


def _call(method: str, path: str, call: Schema, kinds: dict[str, Schema]) -> str:
    parts = [f"<h3><b>{method.upper()}</b> {escape(path)}</h3><p>{escape(call.get('summary') or '')}</p>"]
    named = [(f"{p['name']} ({p['in']})", p.get("schema", {}), p.get("required", False))
             for p in call.get("parameters") or ()]  # fmt: skip
    if named:
        parts.append(f"<h4>in the address</h4>{_table(named)}")
    answers = [(f"answers {status}", r) for status, r in call["responses"].items() if status.startswith("2")]
    for what, holder in [("takes", call.get("requestBody") or {}), *answers]:
        for schema in [media.get("schema", {}) for media in (holder.get("content") or {}).values()][:1]:
            fields = _fields(kinds.get(_name(schema), {}))
            parts.append(f"<h4>{what} {_type(schema)}</h4>{fields}")
    return f"<section>{''.join(parts)}</section>"


def _kind(name: str, schema: Schema) -> str:
    said = schema.get("description") or ""
    return f'<section id="{escape(name)}"><h3>{escape(name)}</h3><p>{escape(said)}</p>{_fields(schema)}</section>'


def _fields(schema: Schema) -> str:
    needed = schema.get("required") or ()
    return _table([(name, field, name in needed) for name, field in (schema.get("properties") or {}).items()])


def _table(rows: list[tuple[str, Schema, bool]]) -> str:
    lines = [f"<tr><td>{escape(name)}<td>{_type(schema)}<td class=q>{'required' if needed else ''}"
             for name, schema, needed in rows]  # fmt: skip
    return f"<table>{''.join(lines)}</table>" if lines else ""


def _name(schema: Schema) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _type(schema: Schema) -> str:
    """Say a field's type in HTML: a link to a named type, else words, with the limits that the door keeps."""
    if name := _name(schema):
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(choice) for choice in choices)
    if values := schema.get("enum"):
        return " or ".join(escape(repr(value)) for value in values)
    kind = schema.get("type") or "anything"
    if kind == "array":
        inner = schema.get("items") or {"anyOf": schema.get("prefixItems") or [{}]}
        return f"list of {_type(inner)}{_limits(schema, 'minItems', 'maxItems', '')}"
    if kind == "object" and isinstance(inner := schema.get("additionalProperties"), dict):
        return f"map to {_type(inner)}"
    words = kind if isinstance(kind, str) else " or ".join(kind)
    return escape(words) + _limits(schema, "minimum", "maximum", "") + _limits(schema, "minLength", "maxLength", "long")


def _limits(schema: Schema, least: str, most: str, what: str) -> str:
    said = [f"{word} {schema[key]:,}" for word, key in (("at least", least), ("at most", most)) if key in schema]
    return f"<span class=q>, {' and '.join(said)} {what}</span>" if said else ""
