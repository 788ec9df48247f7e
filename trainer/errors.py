"""What can be wrong with data and fits; every message names the file or setting to mend."""


class TrainerError(Exception):
    """What was asked of the trainer can't be done."""


class DatasetError(TrainerError):
    """A data or mapping file can't be used; the message names the file, the row and what to do."""


class EvaluateError(TrainerError):
    """A data set can't be judged; the message names the file or head and what to do."""


class FitError(TrainerError):
    """The fit can't be done; the message names the setting or the missing package."""


class DivergedError(FitError):
    """The loss of a fit became no number."""


class LabelLogError(TrainerError):
    """The label log can't be read or written; the message names the file."""


class ServiceError(TrainerError):
    """The trainer service can't start or go on; the message names what is missing."""
