"""Where a job's time went and its course, in a browser: drawn, live, and readable for everybody."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.support import sight
from tests.support.pages import sign_in

# Whether anything but the ground of the chart has been drawn on it.
DRAWN = """figure => {
    const canvas = figure.querySelector("canvas");
    const ground = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return ground.some(value => value);
}"""


def test_the_time_of_a_job_and_its_course_go_on_while_somebody_looks(page: Page, site: Site) -> None:
    # Given a job whose answers come one after the other
    door = site.newcomer()
    sign_in(page, door.key)
    job = door.submit(30, params={"simulate": {"latency_ms": 1_500, "latency_sigma": 0.6}})

    # When its course is looked at from its beginning, then what arrives is drawn, and stands in the table
    page.goto(f"/ui/jobs/{job['id']}/course")
    page.evaluate("window.sameDocument = true")
    for label in ("Records a minute", "Cost"):
        chart = page.get_by_role("img", name=label)
        expect(chart.locator("canvas")).to_be_visible()
        assert chart.evaluate(DRAWN)
    last = page.get_by_role("region", name="Course of the job").get_by_role("row").last
    expect(last.get_by_role("cell").nth(1)).to_have_text("30", timeout=30_000)
    assert page.evaluate("window.sameDocument")
    sight.assert_good(page)
    sight.shoot(page, "job-course")

    # And the states of its time stand beside it
    page.goto(f"/ui/jobs/{job['id']}/slow")
    table = page.get_by_role("table", name="Time by state")
    expect(table.get_by_role("row").nth(1)).to_contain_text("Answers under way")
    expect(table.get_by_role("row").last).to_contain_text("100 %")
    sight.assert_good(page)
    sight.shoot(page, "job-slow")
