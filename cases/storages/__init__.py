"""Where pictures lie: in the data folder, or in an S3 bucket. The setting FAULTDIAG_STORAGE says which."""


class StorageAway(Exception):
    """The storage of the pictures does not do what it is asked for.

    Its text is for people; `reason` is for the operator, and names the storage and what it answered.
    """

    def __init__(self, reason: str):
        super().__init__(
            "The storage of the pictures does not work at the moment, so none can be stored or shown."
            " Try again in a minute; if it lasts, your administrator finds the reason in the server's log."
        )
        self.reason = reason
