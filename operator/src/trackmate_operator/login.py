"""
The operator's own way into Kafka while it runs: a password or certificate that is renewed in its
file is taken over without a restart.
"""

import asyncio
import logging

from trackmate_contract.faults import Faulty
from trackmate_contract.kafka import Kafka
from trackmate_operator.configuration import CLIENT
from trackmate_operator.kafka.admin import Admin
from trackmate_programs.kafka_access import Access, read_access

_READ_AGAIN_S = 5.0

_log = logging.getLogger("trackmate.operator")


class Login:
    """What is faulty is said once, and what was in force stays."""

    def __init__(self, kafka: Kafka, access: Access, admin: Admin) -> None:
        self._kafka = kafka
        self._access = access
        self._admin = admin
        self._said = ""

    async def follow(self) -> None:
        """For ever. Some mounts tell of no change, so the files are read again and again."""
        while True:
            await asyncio.sleep(_READ_AGAIN_S)
            try:
                found = await asyncio.to_thread(read_access, self._kafka, CLIENT)
            except Faulty as faulty:
                self._complain(str(faulty))
                continue
            self._said = ""
            if found != self._access:
                self._access = found
                self._admin.renew(found)
                _log.info("goes to Kafka with what its files say now")

    def _complain(self, fault: str) -> None:
        if fault != self._said:
            self._said = fault
            _log.warning("stays with its login to Kafka", extra={"fields": {"fault": fault}})
