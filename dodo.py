"""doit's entry into the course: everything is in modules.toml and in tinytorch_build."""

from tinytorch_build.tasks import for_course

DOIT_CONFIG, task_course = for_course(__file__)
