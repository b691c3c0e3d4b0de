import re

from faultdiag.environment import BASE_DIR
from faultdiag.management.commands.settings_table import settings_table


def test_the_readme_documents_every_setting():
    readme = (BASE_DIR / "README.md").read_text()
    found = re.search(r"<!-- settings:start -->\n(.*?)<!-- settings:end -->", readme, re.DOTALL)
    assert found, "README.md lacks the markers of the settings"
    assert found[1].strip() == settings_table(), (
        "put the output of manage.py settings_table between the markers"
    )
