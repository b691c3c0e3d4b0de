"""Search with pictures that are not stored."""

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from cases.api.parsers import MultiPartParser
from cases.api.uploads import pictures_read
from vision.api.serializers import SearchRequestSerializer, SearchResponseSerializer
from vision.services.search import pictures_search


class SearchView(APIView):
    required_permissions = ["cases.view_case"]
    throttle_scope = "search"
    parser_classes = [MultiPartParser]

    @extend_schema(
        summary="Find similar past cases",
        request=SearchRequestSerializer,
        responses=SearchResponseSerializer,
        operation_id="search",
        tags=["search"],
    )
    def post(self, request):
        """Answer in one request with similar past cases, their causes and actions, and probable categories.

        Several pictures are views of one thing and give one answer. Nothing is stored.
        """
        serializer = SearchRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        result = pictures_search(
            pictures_read(serializer.validated_data["images"]),
            top_k=serializer.validated_data["top_k"],
            filters=serializer.filters(),
        )
        return Response(SearchResponseSerializer(result, context={"request": request}).data)
