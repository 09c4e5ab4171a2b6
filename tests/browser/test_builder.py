"""The section of a builder's parameters, and the switch of one that the data function has too."""

from playwright.sync_api import expect

from .bench_page import PROBLEM, button, field, opened, run_to_its_end
from .notebook_page import NotebookPage

BUILDER = (
    PROBLEM
    + """

def build(hidden: Annotated[int, Ge(1)] = 20, weight: float = 100.0, nsim: Annotated[int, Ge(1)] = 100):
    '''Build the Problem.

    Args:
        hidden: width of both hidden layers
        weight: weight of the constraint
        nsim: number of samples, by which the weight is divided
    '''
    net = blocks.MLP(2, 2, nonlin=torch.nn.ReLU, hsizes=[hidden, hidden])
    objective = ((1 - x)**2 + a*(y - x**2)**2).minimize(name="objective")
    order = weight * (x >= y)
    order.name = "order"
    return Problem([Node(net, ["ap"], ["z"], name="map")], PenaltyLoss([objective], [order]))
"""
)


def test_a_builders_parameters_are_fields_and_a_parameter_of_both_can_be_untied(notebook: NotebookPage) -> None:
    bench = opened(
        notebook,
        "print(lab.run.settings['problem_kwargs'], lab.data_kwargs['nsim'])",
        problem=BUILDER,
        lab="lab = nmlab.Lab(build, random_parameters)\nlab",
    )
    section = bench.get_by_role("group", name="Problem: build")
    field(section, "hidden").fill("0")
    expect(section.get_by_role("alert")).to_contain_text("an integer >= 1")
    expect(button(bench, "Run")).to_be_disabled()
    field(section, "hidden").fill("7")
    expect(field(section, "nsim")).to_have_count(0)
    switch = bench.get_by_role("checkbox", name="the same for build")
    switch.press("Space")
    expect(field(section, "nsim")).to_have_value("100")
    expect(bench.get_by_role("checkbox", name="the same for build")).to_be_focused()
    field(section, "nsim").fill("50")
    run_to_its_end(bench, 2)
    assert notebook.run_cell(2)
    assert "{'hidden': 7, 'weight': 100.0, 'nsim': 50} 100" in notebook.output_text(2)
