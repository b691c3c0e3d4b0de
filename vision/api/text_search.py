"""Search with words."""

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from cases.api.errors import Conflict, ProblemSerializer
from vision.api.serializers import TextSearchRequestSerializer, TextSearchResponseSerializer
from vision.services.text_search import NoTextSide, text_search


class TextSearchView(APIView):
    required_permissions = ["cases.view_case"]
    throttle_scope = "search"

    @extend_schema(
        summary="Find past cases by words",
        parameters=[TextSearchRequestSerializer],
        responses={
            200: TextSearchResponseSerializer,
            400: OpenApiResponse(ProblemSerializer, "The request is wrong: `errors` says what, by field."),
            409: OpenApiResponse(ProblemSerializer, "The backbone in use understands no words."),
        },
        operation_id="search_text",
        tags=["search"],
    )
    def get(self, request):
        """Answer with the past cases whose pictures fit a description best.

        Only with a backbone of CLIP; with any other the answer is 409 with code `no_text_side`. The order of
        the cases is the answer: how alike words and a picture are is no figure to compare with the similarity
        of two pictures, so none is given, and the last ones may not fit at all.
        """
        serializer = TextSearchRequestSerializer(data=request.query_params)
        serializer.is_valid(raise_exception=True)
        try:
            result = text_search(
                serializer.validated_data["q"],
                top_k=serializer.validated_data["top_k"],
                filters=serializer.filters(),
            )
        except NoTextSide as reason:
            raise Conflict(str(reason), code="no_text_side") from reason
        return Response(TextSearchResponseSerializer(result, context={"request": request}).data)
