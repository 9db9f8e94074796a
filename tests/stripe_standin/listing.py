"""Lists: newest first, a page at a time by `starting_after` and `ending_before`, filtered."""

from collections.abc import Iterable, Sequence

from tests.stripe_standin.errors import Obj, invalid, missing
from tests.stripe_standin.form import Params
from tests.stripe_standin.world import World


def listed(
    world: World, things: Sequence[Obj], params: Params, url: str, equal: Iterable[str] = ()
) -> Obj:
    """One page of the things whose named fields equal what was asked for."""
    kept = [thing for thing in things if _created(thing, params)]
    for name in equal:
        wanted = params.text(name)
        if wanted is not None:
            kept = [thing for thing in kept if _same(thing.get(name), wanted)]
    return page(world, kept, params, url)


def page(world: World, things: Sequence[Obj], params: Params, url: str) -> Obj:
    """One page of all of them."""
    limit = params.whole("limit", least=1, most=100) or 10
    after, before = params.text("starting_after"), params.text("ending_before")
    names = [thing["id"] for thing in things]
    for cursor, param in ((after, "starting_after"), (before, "ending_before")):
        if cursor is not None and cursor not in names:
            raise missing("object", cursor, param=param, status=400)
    if after is not None and before is not None:
        raise invalid("Only one of starting_after and ending_before", "ending_before")
    if before is not None:
        newer = things[: names.index(before)]
        chosen, more = newer[-limit:], len(newer) > limit
    else:
        rest = things[names.index(after) + 1 :] if after is not None else things
        chosen, more = rest[:limit], len(rest) > limit
    expand = [path[5:] for path in params.texts("expand") if path.startswith("data.")]
    data = [world.show(thing, expand) for thing in chosen]
    return {"object": "list", "data": data, "has_more": more, "url": url}


def _same(value: object, wanted: str) -> bool:
    if isinstance(value, bool):
        return str(value).lower() == wanted
    return value == wanted


def _created(thing: Obj, params: Params) -> bool:
    asked = params.values.get("created")
    if asked is None:
        return True
    made = int(thing["created"])
    if isinstance(asked, str):
        return made == params.whole("created")
    bounds = params.inner("created")
    gt, gte = bounds.whole("gt"), bounds.whole("gte")
    lt, lte = bounds.whole("lt"), bounds.whole("lte")
    return (
        (gt is None or made > gt)
        and (gte is None or made >= gte)
        and (lt is None or made < lt)
        and (lte is None or made <= lte)
    )
