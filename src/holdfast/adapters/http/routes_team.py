"""Calls beyond the slate: lists that no viewer is needed for, why an item was not offered, and experiments."""

from typing import Annotated, Any

from litestar import Request, Response, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter

from holdfast.adapters.http import shapes_team as team
from holdfast.adapters.http.ports import Caller, Rooms
from holdfast.adapters.http.routes_people import FEED_BYTES_MAX, bearer
from holdfast.adapters.http.wire import Body, answer, read, reads
from holdfast.core.feed.rules import TAGS_MAX
from holdfast.core.feed.shapes import SLATE_DEFAULT, SLATE_MAX

Asked = Request[Any, Any, Any]
WHY_NOT = Body(team.WhyNotRequest, FEED_BYTES_MAX)
PLAN = Body(team.ExperimentPlan, 200_000)  # five arms, each with the longest rules
BODIES = (WHY_NOT, PLAN)
Many = Annotated[int, QueryParameter(ge=1, le=SLATE_MAX)]
Tags = Annotated[list[str] | None, QueryParameter(name="tag", max_items=TAGS_MAX)]


def routes(rooms: Rooms) -> list[Any]:
    """Build the handlers of these calls."""

    def experimenter(request: Asked) -> Caller:
        caller = rooms.door.caller(bearer(request))
        caller.need("experiments")
        return caller

    @get(
        "/v1/items/{item:str}/similar", tags=["team"], responses={200: ResponseSpec(team.Listing)},
        summary="Items like this one, and why (`tag`: at least one of these)",
    )
    async def similar(request: Asked, item: FromPath[str], n: Many = SLATE_DEFAULT, tags: Tags = None) -> Response[Any]:
        return answer(request, rooms.lists.similar(item, n, tags or [], rooms.door.caller(bearer(request))))

    @get(
        "/v1/trending", tags=["team"], responses={200: ResponseSpec(team.Listing)},
        summary="What people like here now (`tag`: at least one of these)",
    )
    async def trending(request: Asked, n: Many = SLATE_DEFAULT, tags: Tags = None) -> Response[Any]:
        return answer(request, rooms.lists.trending(n, tags or [], rooms.door.caller(bearer(request))))

    @post(
        "/v1/feed/why-not", status_code=200, tags=["viewer"], operation_class=reads(team.WhyNotRequest),
        responses={200: ResponseSpec(team.WhyNotAnswer)}, summary="Why an item is not in a viewer's slate, in words",
    )
    async def why_not(request: Asked) -> Response[Any]:
        caller = rooms.door.caller(bearer(request))
        if caller.team:
            caller.need("feed")
        return answer(request, rooms.lists.why_not(await read(request, WHY_NOT), caller))

    @get("/v1/experiments", tags=["team"], responses={200: ResponseSpec(team.Experiments)},
         summary="All experiments of one's own (scope `experiments`)")
    async def experiments(request: Asked) -> Response[Any]:
        return answer(request, rooms.trials.all(experimenter(request)))

    @put(
        "/v1/experiments/{name:str}", tags=["team"], operation_class=reads(team.ExperimentPlan),
        responses={200: ResponseSpec(team.ExperimentLine)}, summary="Begin an experiment (scope `experiments`)",
    )
    async def start(request: Asked, name: FromPath[str]) -> Response[Any]:
        caller = experimenter(request)
        return answer(request, await rooms.trials.start(name, await read(request, PLAN), caller))

    @post("/v1/experiments/{name:str}/stop", status_code=200, tags=["team"],
          responses={200: ResponseSpec(team.ExperimentLine)}, summary="End an experiment; its results stay")
    async def stop(request: Asked, name: FromPath[str]) -> Response[Any]:
        return answer(request, await rooms.trials.stop(name, experimenter(request)))

    @get("/v1/experiments/{name:str}/results", tags=["team"], responses={200: ResponseSpec(team.ExperimentResults)},
         summary="What may be said of an experiment now, however often one looks")
    async def results(request: Asked, name: FromPath[str]) -> Response[Any]:
        return answer(request, rooms.trials.results(name, experimenter(request)))

    return [similar, trending, why_not, experiments, start, stop, results]
