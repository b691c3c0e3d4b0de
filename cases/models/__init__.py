from cases.models.case import Case, CaseNumberSeries, CaseTransition
from cases.models.catalogue import CategoryExample, FaultCategory
from cases.models.image import CaseImage, ImageFile, Label
from cases.models.job import Job
from cases.models.parties import Customer, Part, Site, Supplier
from cases.models.resolution import ActionTaken, CorrectiveAction, Resolution, WhyStep

__all__ = [
    "ActionTaken",
    "Case",
    "CaseImage",
    "CaseNumberSeries",
    "CaseTransition",
    "CategoryExample",
    "CorrectiveAction",
    "Customer",
    "FaultCategory",
    "ImageFile",
    "Job",
    "Label",
    "Part",
    "Resolution",
    "Site",
    "Supplier",
    "WhyStep",
]
