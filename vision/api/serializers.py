"""How answers of the library are written."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from cases.api.case_serializers import VerdictSerializer
from cases.api.fields import CodeField, LinkField, PartField
from cases.api.parties import CustomerSerializer, PartSerializer
from cases.api.uploads import PicturesSerializer
from cases.models import ActionTaken, Customer, FaultCategory, Site
from vision.engine.clip import MOST_CHARACTERS
from vision.engine.regions import EXAMPLE, MIN_SIDE, WHOLE, Region, RegionError
from vision.models import Decision, Diagnosis
from vision.services.search import SearchFilters

MAX_TOP_K = 100


class FiltersSerializer(serializers.Serializer):
    """How many past cases, and what they must have in common."""

    top_k = serializers.IntegerField(
        min_value=1, max_value=MAX_TOP_K, default=10, help_text="Cases to answer with."
    )
    category = CodeField(
        queryset=FaultCategory.objects.all(),
        required=False,
        allow_null=True,
        help_text="Code: only cases of this category or one below it.",
    )
    part = PartField(required=False, allow_null=True, help_text="Number, or id where revisions share it.")
    customer = CodeField(queryset=Customer.objects.all(), required=False, allow_null=True, help_text="Code.")
    site = CodeField(queryset=Site.objects.all(), required=False, allow_null=True, help_text="Code.")
    reported_after = serializers.DateField(required=False, allow_null=True, help_text="This day or later.")
    reported_before = serializers.DateField(required=False, allow_null=True, help_text="This day or earlier.")

    def filters(self) -> SearchFilters:
        """The filters of validated data."""
        names = SearchFilters.__dataclass_fields__
        return SearchFilters(**{name: value for name, value in self.validated_data.items() if name in names})


@extend_schema_field({"type": "string", "example": EXAMPLE})
class RegionField(serializers.CharField):
    """A part of a picture as "x,y,width,height"; nothing is the whole of it."""

    def __init__(self, **kwargs):
        kwargs.setdefault(
            "help_text",
            "Look at this part of the picture only: `x,y,width,height` in fractions 0 to 1 of the upright"
            f" picture, x and y from its upper left corner; at least {MIN_SIDE} pixels on each side.",
        )
        super().__init__(required=False, allow_null=True, **kwargs)

    def to_internal_value(self, data):
        try:
            return Region.parse(super().to_internal_value(data))
        except RegionError as error:
            raise serializers.ValidationError(str(error), code=error.code) from error


class RegionRequestSerializer(FiltersSerializer):
    """Which part of a picture, and what the past cases must have in common with it."""

    region = RegionField()

    def region_or_whole(self) -> Region:
        """The region of validated data, the whole picture when none was given."""
        return self.validated_data.get("region") or WHOLE


class SearchRequestSerializer(RegionRequestSerializer, PicturesSerializer):
    """Views of one thing, and what the past cases must have in common with it."""

    def get_fields(self):
        fields = super().get_fields()
        del fields["roles"]
        return fields


class TextSearchRequestSerializer(FiltersSerializer):
    """What to look for in words, and what the past cases must have in common."""

    q = serializers.CharField(
        max_length=MOST_CHARACTERS,
        help_text='What the pictures show, best in English: "dark blister near the edge".',
    )


class CategoryNameSerializer(serializers.ModelSerializer):
    class Meta:
        model = FaultCategory
        fields = ["code", "name"]


class MatchActionSerializer(serializers.ModelSerializer):
    """An action that was taken, and whether it worked."""

    code = serializers.CharField(source="action.code")
    title = serializers.CharField(source="action.title")
    type = serializers.CharField(source="action.type")

    class Meta:
        model = ActionTaken
        fields = ["code", "title", "type", "effectiveness", "done_on"]


class MatchLinksSerializer(serializers.Serializer):
    case_page = LinkField("case-detail", key="case.number")
    case = LinkField("api-case-detail", key="case.number")
    resolution_page = LinkField(
        "case-detail", key="case.resolution.case.number", fragment="#resolution", allow_null=True
    )
    resolution = LinkField("api-resolution-detail", key="case.resolution.case.number", allow_null=True)
    image = LinkField("api-image-preview", key="image.pk")
    thumbnail = LinkField("api-image-thumbnail", key="image.pk")


class MatchSerializer(serializers.Serializer):
    """A past case that looks alike, by its most similar picture."""

    rank = serializers.IntegerField(help_text="1 is the most similar.")
    similarity = serializers.FloatField(help_text="Cosine of the vectors, 1 for the same picture.")
    case = serializers.CharField(source="case.number")
    title = serializers.CharField(source="case.title")
    status = serializers.CharField(source="case.status")
    reported_at = serializers.DateTimeField(source="case.reported_at")
    image = serializers.IntegerField(source="image.pk", help_text="Id of the most similar picture.")
    category = CategoryNameSerializer(source="image.confirmed_category", allow_null=True)
    part = PartSerializer(source="case.part", allow_null=True)
    customer = CustomerSerializer(source="case.customer", allow_null=True)
    root_cause = serializers.CharField(source="case.resolution.root_cause", default="")
    disposition = serializers.CharField(source="case.resolution.disposition", default="")
    summary = serializers.CharField(source="case.resolution.summary", default="")
    actions = MatchActionSerializer(source="case.resolution.actions_taken.all", many=True, default=list)
    links = MatchLinksSerializer(source="*")


class TextMatchSerializer(MatchSerializer):
    """A past case whose picture fits the words."""

    rank = serializers.IntegerField(help_text="1 fits best.")
    image = serializers.IntegerField(source="image.pk", help_text="Id of the picture that fits best.")
    similarity = None  # of words with a picture: no figure to compare with that of two pictures


class CategoryProbabilitySerializer(serializers.Serializer):
    code = serializers.CharField(source="category.code")
    name = serializers.CharField(source="category.name")
    probability = serializers.FloatField(help_text="Calibrated, 0 to 1.")
    typicality = serializers.FloatField(
        help_text="Conformal p-value: share of its held-out pictures that fit it no better."
    )
    in_set = serializers.BooleanField(help_text="In the prediction set: the coverage can't exclude it.")
    images = serializers.IntegerField(help_text="Confirmed pictures of it in the library.")
    cases = serializers.IntegerField(help_text="Confirmed cases of it in the library.")
    few_examples = serializers.BooleanField(help_text="Too few cases to be confident.")


class SearchResponseSerializer(serializers.Serializer):
    """Similar past cases, and what they say about the category."""

    query_time_ms = serializers.FloatField(help_text="From the checked upload to the answer.")
    timings_ms = serializers.DictField(child=serializers.FloatField(), source="timings")
    outcome = serializers.ChoiceField(Diagnosis.Outcome.choices, source="classification.outcome")
    reason = serializers.CharField(source="classification.reason", help_text="The rule that led to it.")
    novelty_p = serializers.FloatField(
        source="classification.novelty_p",
        allow_null=True,
        help_text="P-value that this is of a known category; null when there was nothing to compare with.",
    )
    prediction_set = CategoryNameSerializer(
        source="classification.prediction_set",
        many=True,
        help_text="Categories that hold the true one with the chosen coverage.",
    )
    classifier = serializers.CharField(source="classification.classifier", help_text="Name and version.")
    thresholds = serializers.DictField(child=serializers.FloatField(), source="classification.thresholds")
    categories = CategoryProbabilitySerializer(source="classification.categories", many=True)
    matches = MatchSerializer(many=True)
    library_size = serializers.IntegerField()
    library_watermark = serializers.IntegerField(
        source="watermark", help_text="The last change of the library that this answer knows."
    )


class TextSearchResponseSerializer(serializers.Serializer):
    """The cases whose pictures fit the words best, in this order; how well they fit has no figure."""

    query = serializers.CharField()
    query_time_ms = serializers.FloatField()
    timings_ms = serializers.DictField(child=serializers.FloatField(), source="timings")
    matches = TextMatchSerializer(many=True)
    library_size = serializers.IntegerField()
    library_watermark = serializers.IntegerField(
        source="watermark", help_text="The last change of the library that this answer knows."
    )


class SuggestedCategorySerializer(serializers.Serializer):
    """A category of a diagnosis, as it was then."""

    category = serializers.IntegerField(help_text="Id.")
    code = serializers.CharField()
    name = serializers.CharField()
    probability = serializers.FloatField()
    typicality = serializers.FloatField(
        default=None, allow_null=True, help_text="Conformal p-value then; null before there was one."
    )
    in_set = serializers.BooleanField(default=None, allow_null=True, help_text="In the prediction set.")
    images = serializers.IntegerField(help_text="Confirmed pictures of it in the library then.")
    cases = serializers.IntegerField(default=None, allow_null=True, help_text="Its confirmed cases then.")
    few_examples = serializers.BooleanField(
        default=None, allow_null=True, help_text="Too few cases to be confident then."
    )


class SuggestedNameSerializer(serializers.Serializer):
    """A category of the prediction set, as it was then."""

    code = serializers.CharField()
    name = serializers.CharField()


class SuggestedMatchSerializer(serializers.Serializer):
    """A similar case of a diagnosis, as it was found then."""

    rank = serializers.IntegerField()
    similarity = serializers.FloatField()
    image = serializers.IntegerField(help_text="Id.")
    number = serializers.CharField(help_text="Number of the case.")


class DiagnosisLinksSerializer(serializers.Serializer):
    case = LinkField("api-case-detail", key="case.number")
    triage = LinkField("case-triage", key="case.number")


class DiagnosisSerializer(serializers.ModelSerializer):
    """One suggestion for a case; it never changes."""

    case = serializers.SlugRelatedField("number", read_only=True)
    category = CategoryNameSerializer(read_only=True, allow_null=True)
    categories = SuggestedCategorySerializer(many=True, read_only=True)
    prediction_set = SuggestedNameSerializer(
        many=True,
        read_only=True,
        help_text="Categories that hold the true one with the chosen coverage.",
    )
    matches = SuggestedMatchSerializer(many=True, read_only=True)
    space = serializers.SlugRelatedField("slug", read_only=True)
    timings = serializers.DictField(child=serializers.FloatField(), read_only=True, help_text="Milliseconds.")
    thresholds = serializers.DictField(child=serializers.FloatField(), read_only=True)
    links = DiagnosisLinksSerializer(source="*", read_only=True)

    class Meta:
        model = Diagnosis
        fields = [
            "id", "case", "outcome", "reason", "category", "probability", "novelty_p", "prediction_set",
            "categories", "matches", "space", "classifier", "thresholds", "library_watermark", "library_size",
            "timings", "links", "created_at",
        ]  # fmt: skip


class DecisionRequestSerializer(VerdictSerializer):
    diagnosis = serializers.PrimaryKeyRelatedField(
        queryset=Diagnosis.objects.all(),
        required=False,
        allow_null=True,
        help_text="Id of the suggestion that was seen; the newest one of the case when left out.",
    )


class DecisionSerializer(serializers.ModelSerializer):
    """What an engineer decided on a case."""

    case = serializers.SlugRelatedField("number", read_only=True)
    category = CategoryNameSerializer(read_only=True, allow_null=True)
    made_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)

    class Meta:
        model = Decision
        fields = ["id", "case", "diagnosis", "verdict", "category", "agrees", "made_by", "made_at"]


class CountSerializer(serializers.Serializer):
    code = serializers.CharField()
    name = serializers.CharField()
    count = serializers.IntegerField()


class IndexFiguresSerializer(serializers.Serializer):
    """The snapshot that is searched, and what came since."""

    engine = serializers.CharField(source="snapshot.engine", help_text="exact, approximate or milvus.")
    reason = serializers.CharField(source="snapshot.reason", help_text="Why this engine, as a sentence.")
    count = serializers.IntegerField(source="snapshot.count", help_text="Pictures in the snapshot.")
    generation = serializers.CharField(help_text="Number of the snapshot.")
    watermark = serializers.IntegerField(
        source="snapshot.watermark", help_text="Number of the last change that is in the snapshot."
    )
    changes = serializers.IntegerField(help_text="Changes since the snapshot; these are searched exactly.")
    recall = serializers.FloatField(
        allow_null=True,
        help_text="Share of the true ten nearest that is found: by the searches that were repeated exactly, "
        "or as measured when the snapshot was written. null for the engine exact.",
    )
    audited = serializers.IntegerField(
        source="audit.searches", help_text="Searches that were repeated exactly."
    )
    milvus_problem = serializers.CharField(
        help_text="Why Milvus names no candidates, as a sentence; else empty."
    )


class LibraryFiguresSerializer(serializers.Serializer):
    space = serializers.CharField(allow_null=True, help_text="Backbone, weights and preprocessing in use.")
    size = serializers.IntegerField(help_text="Pictures that a search looks through.")
    watermark = serializers.IntegerField(help_text="Number of the last change.")
    waiting = serializers.IntegerField(help_text="Pictures without a vector yet.")
    index = IndexFiguresSerializer(
        allow_null=True, help_text="null as long as there is no snapshot: every picture is compared."
    )


class DecisionFiguresSerializer(serializers.Serializer):
    count = serializers.IntegerField(help_text="Decisions on a suggestion.")
    agreed = serializers.IntegerField(help_text="Decisions for the category that was suggested.")
    agreement_rate = serializers.FloatField(allow_null=True)


class StatsSerializer(serializers.Serializer):
    """The library in figures."""

    cases = serializers.IntegerField()
    images = serializers.IntegerField()
    cases_by_status = CountSerializer(many=True)
    images_by_category = CountSerializer(many=True, help_text="Confirmed pictures, the most first.")
    library = LibraryFiguresSerializer()
    decisions = DecisionFiguresSerializer()
