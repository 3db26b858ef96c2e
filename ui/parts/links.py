"""The addresses of the pages: the one place that knows where they are.

Their folder is not called `pages`: Streamlit would take that for its older kind of app, and a link to a run that is the first thing a fresh
server is asked for would be drawn without main.py.
"""

import streamlit as st

NEW_TASK = "views/new_task.py"
RUN = "views/run.py"
RUNS = "views/runs.py"
APPROVALS = "views/approvals.py"
TRAINING = "views/training.py"


def run_link(run_id: str, label: str = "Open the run", icon: str = ":material/arrow_forward:") -> None:
    """A link to a run's page; it can be copied, bookmarked and sent. `label` is Markdown and must be ours."""
    st.page_link(RUN, label=label, icon=icon, query_params={"run": run_id})


def go_to_run(run_id: str) -> None:
    """Leave for a run's page. Ends the script run."""
    st.switch_page(RUN, query_params={"run": run_id})
