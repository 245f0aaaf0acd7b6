from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest

from imagegen.backends.comfyui.servers import BatchKey, Pool, Reservation


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Simulation:
    """Servers that draw one image after another, and are given what the pool says. each_s: seconds an image, by server.

    load_s: seconds that a model takes which is not the last one. died: when a server takes its images with it.
    """

    def __init__(
        self, each_s: Mapping[str, float], load_s: float = 0.0, died: Mapping[str, float] | None = None
    ) -> None:
        self.clock = Clock()
        self.pool = Pool(self.clock)
        self.each_s, self.load_s, self.died = each_s, load_s, dict(died or {})
        self.drawn: dict[str, list[str]] = {url: [] for url in each_s}
        """By server, the models of its images, in order."""
        for url in each_s:
            self.pool.add(url)

    def run(self, waiting: Mapping[BatchKey, int]) -> float:
        """Until all is drawn; when that is."""
        left = dict(waiting)
        ready = dict.fromkeys(self.each_s, 0.0)
        model = dict.fromkeys(self.each_s, "")
        running: list[tuple[float, int, BatchKey, Reservation]] = []
        number = 0
        while left or running:
            while left and (found := self.pool.pick(left)):
                group, hold = found
                assert hold.url, "no server is left"
                left = {other: count - (other == group) for other, count in left.items() if count > (other == group)}
                start = max(self.clock.now_s, ready[hold.url])
                ready[hold.url] = start + self.each_s[hold.url] + self.load_s * (model[hold.url] != group.model)
                model[hold.url] = group.model
                number += 1
                heapq.heappush(running, (ready[hold.url], number, group, hold))
            end = min([running[0][0]] if running else [], default=self.clock.now_s + 0.5)
            self.clock.now_s = min([end, self.clock.now_s + 0.5])
            assert self.clock.now_s < 1e5, "it stands still"
            for url in [url for url, when_s in self.died.items() if when_s <= self.clock.now_s]:
                del self.died[url]
                self.pool.disable(url)
                for _, _, group, _ in [one for one in running if one[3].url == url]:
                    left[group] = left.get(group, 0) + 1
                running = [one for one in running if one[3].url != url]
                heapq.heapify(running)
            while running and running[0][0] <= self.clock.now_s:
                _, _, group, hold = heapq.heappop(running)
                self.pool.release(hold, is_done=True)
                self.drawn[hold.url].append(group.model)
        return self.clock.now_s

    def loads(self) -> int:
        """How often a model was loaded that was not loaded there before."""
        return sum(
            bool(models) + sum(one != other for one, other in pairwise(models)) for models in self.drawn.values()
        )


def soonest(each_s: Sequence[float], images: int) -> float:
    """When so many images can be done at the earliest, by servers that know it all."""
    ends = [(seconds, seconds) for seconds in each_s]
    heapq.heapify(ends)
    end = 0.0
    for _ in range(images):
        end, seconds = ends[0]
        heapq.heapreplace(ends, (end + seconds, seconds))
    return end


def everywhere(simulation: Simulation, **images: int) -> dict[BatchKey, int]:
    return {BatchKey(model, tuple(simulation.each_s)): count for model, count in images.items()}


def test_equal_servers_share_the_work_equally() -> None:
    found = Simulation(dict.fromkeys("abcd", 1.0))
    assert found.run(everywhere(found, m=40)) == 10.0
    assert {len(models) for models in found.drawn.values()} == {10}


def test_one_server_has_two_at_a_time_from_the_first_on() -> None:
    pool = Pool(Clock())
    pool.add("a")
    group = BatchKey("m", ("a",))
    assert pool.pick({group: 9})
    assert pool.pick({group: 8})
    assert pool.pick({group: 7}) is None


def test_one_of_several_has_a_second_image_once_it_is_known_what_one_takes() -> None:
    clock = Clock()
    pool = Pool(clock)
    pool.add("a")
    pool.add("b")
    group = BatchKey("m", ("a", "b"))
    given = [pool.pick({group: 9}), pool.pick({group: 8})]
    assert pool.pick({group: 7}) is None
    clock.now_s = 1.0
    for found in given:
        assert found
        pool.release(found[1], is_done=True)
    assert [bool(pool.pick({group: 7 - more})) for more in range(5)] == [True, True, True, True, False]


def test_where_many_wait_each_has_two_from_the_first_on() -> None:
    pool = Pool(Clock())
    pool.add("a")
    pool.add("b")
    group = BatchKey("m", ("a", "b"))
    assert [bool(pool.pick({group: 100 - more})) for more in range(5)] == [True, True, True, True, False]


@pytest.mark.parametrize("seed", range(20))
def test_a_run_takes_hardly_longer_than_one_that_knew_the_servers_speeds(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - nothing is secret here
    each_s = {f"s{number}": dice.choice([0.1, 0.2, 0.5, 1.0, 3.0]) for number in range(dice.randint(1, 8))}
    found = Simulation(each_s)
    images = dice.randint(1, 200)
    ideal = soonest(list(each_s.values()), images)
    # whoever it is that is slow, is found out with one image
    assert found.run(everywhere(found, m=images)) <= max(1.15 * ideal + 0.5, max(each_s.values()) + 0.01)
    assert sum(map(len, found.drawn.values())) == images


def test_a_slow_server_gets_no_more_than_it_can_do_by_the_end() -> None:
    found = Simulation({"slow": 2.0, "a": 0.1, "b": 0.1, "c": 0.1})
    assert found.run(everywhere(found, m=60)) == pytest.approx(2.0)
    assert len(found.drawn["slow"]) == 1


@pytest.mark.parametrize("seed", range(20))
def test_everything_is_drawn_whoever_can_draw_what_and_whoever_dies(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - nothing is secret here
    urls = [f"s{number}" for number in range(dice.randint(2, 6))]
    died = {url: dice.uniform(0.0, 20.0) for url in urls[1:] if dice.random() < 0.4}
    found = Simulation({url: dice.uniform(0.1, 3.0) for url in urls}, load_s=dice.choice([0.0, 5.0]), died=died)
    waiting = {}
    for number in range(dice.randint(1, 5)):
        able = tuple(url for url in urls if url == urls[0] or dice.random() < 0.6)
        waiting[BatchKey(f"m{number % 3}", able)] = dice.randint(1, 30)
    found.run(waiting)
    made = Counter(model for models in found.drawn.values() for model in models)
    wanted: Counter[str] = Counter()
    for group, count in waiting.items():
        wanted[group.model] += count
    lost = [url for url in urls if url in died]
    assert made == wanted if not lost else made >= wanted


def test_models_are_spread_over_servers_so_that_few_are_loaded() -> None:
    found = Simulation(dict.fromkeys("abcd", 1.0), load_s=10.0)
    found.run(everywhere(found, m=40, n=40))
    assert found.loads() == 4


def test_a_model_that_comes_later_is_loaded_where_others_keep_the_first() -> None:
    clock = Clock()
    pool = Pool(clock)
    pool.add("a")
    pool.add("b")
    first, second = BatchKey("m", ("a", "b")), BatchKey("n", ("a", "b"))
    given = [pool.pick({first: 8}), pool.pick({first: 7})]
    clock.now_s = 1.0
    for found in given:
        assert found
        pool.release(found[1], is_done=True)
    groups = [found[0].model for found in (pool.pick({first: 6, second: 8}), pool.pick({first: 6, second: 7})) if found]
    assert sorted(groups) == ["m", "n"]


def test_one_server_draws_all_of_a_model_before_the_next() -> None:
    found = Simulation({"a": 1.0}, load_s=10.0)
    found.run(everywhere(found, m=5, n=50))
    assert found.loads() == 2


def test_what_few_servers_can_draw_comes_first_there() -> None:
    found = Simulation({"a": 1.0, "b": 1.0})
    everyones, as_only = BatchKey("m", ("a", "b")), BatchKey("n", ("a",))
    assert found.run({everyones: 20, as_only: 20}) == 20.0
    assert found.drawn == {"a": ["n"] * 20, "b": ["m"] * 20} or found.drawn["a"][-19:] == ["n"] * 19


def test_an_image_for_which_no_server_is_left_has_a_place_nowhere() -> None:
    pool = Pool(Clock())
    pool.add("a")
    pool.add("b")
    group = BatchKey("m", ("a",))
    assert pool.disable("a")
    assert not pool.disable("a")
    found = pool.pick({BatchKey("m", ("a", "b")): 1, group: 1})
    assert found
    assert (found[0], found[1].url) == (group, "")
    pool.release(found[1], is_done=False)


def test_an_image_that_another_server_has_already_is_counted_there() -> None:
    pool = Pool(Clock())
    pool.add("a")
    group = BatchKey("m", ("a", "b"))
    given = pool.pick({group: 3})
    assert given
    pool.add("b")
    pool.move(given[1], "b")
    found = pool.pick({group: 2})
    assert found
    assert found[1].url == "a"
    assert pool.pick({group: 1}) is None, "each has one, and nothing is known of them"


def test_a_server_in_doubt_gets_no_more_while_others_can_draw_it() -> None:
    pool = Pool(Clock())
    pool.add("a")
    pool.add("b")
    everyones, as_only = BatchKey("m", ("a", "b")), BatchKey("m", ("a",))
    pool.count_failures("a", 2)
    first, second = pool.pick({everyones: 5}), pool.pick({everyones: 4})
    assert first
    assert first[1].url == "b"
    assert second is None
    alone = pool.pick({everyones: 4, as_only: 1})
    assert alone
    assert (alone[0], alone[1].url) == (as_only, "a"), "there is nobody else"


def test_servers_that_are_all_in_doubt_go_on() -> None:
    pool = Pool(Clock())
    pool.add("a")
    pool.count_failures("a", 2)
    assert pool.pick({BatchKey("m", ("a",)): 1})
    pool.count_failures("a", -1)
    pool.add("b")
    found = pool.pick({BatchKey("m", ("a", "b")): 1})
    assert found
    assert found[1].url in ("a", "b")
