"""
What is declared and runs, as `trackmate plan` compares it with what is written.
"""

from trackmate.declared import Declared, manifest_of
from trackmate.dev.instance import Instance


def all_declared(instance: Instance) -> list[Declared]:
    found, files = [], instance.files
    for name, running in sorted(instance.affiliates.items()):
        found.append(manifest_of(running.affiliate, name, files[name,]))
        for pipeline, declaration in sorted(running.pipelines.declared.items()):
            file = files[running.affiliate.namespace, pipeline]
            found.append(manifest_of(declaration.manifest, f"{name}/{pipeline}", file))
    return found
