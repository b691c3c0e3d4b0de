"""Pictures that come with a request."""

from collections.abc import Sequence

from rest_framework import serializers

from cases.models import CaseImage
from cases.services.intake import Picture


class PicturesSerializer(serializers.Serializer):
    """1 to 10 views of one thing. JPEG, PNG, WebP, BMP, TIFF or still GIF."""

    images = serializers.ListField(
        child=serializers.FileField(allow_empty_file=True),
        help_text="Repeat the field for each picture.",
    )
    roles = serializers.ListField(
        child=serializers.ChoiceField(CaseImage.Role.choices),
        required=False,
        help_text="What each picture shows, in the same order; close-ups when left out.",
    )

    def validate(self, attrs):
        roles = attrs.get("roles")
        if roles and len(roles) != len(attrs.get("images", [])):
            raise serializers.ValidationError({"roles": "Give one role for each picture, or none at all."})
        return attrs


def pictures_read(images: Sequence, roles: Sequence[str] = ()) -> list[Picture]:
    """The pictures of validated data of PicturesSerializer, unchecked: the services guard them."""
    roles = roles or [CaseImage.Role.CLOSE_UP] * len(images)
    return [Picture(upload.name, upload.read(), role) for upload, role in zip(images, roles, strict=True)]
