"""Parts, customers, suppliers, sites."""

from rest_framework import viewsets

from cases.api.viewsets import CheckedModelSerializer, CodeLookup
from cases.models import Customer, Part, Site, Supplier


class PartSerializer(CheckedModelSerializer):
    class Meta:
        model = Part
        fields = ["id", "number", "revision", "name", "family"]


class CustomerSerializer(CheckedModelSerializer):
    class Meta:
        model = Customer
        fields = ["code", "name"]


class SupplierSerializer(CheckedModelSerializer):
    class Meta:
        model = Supplier
        fields = ["code", "name"]


class SiteSerializer(CheckedModelSerializer):
    class Meta:
        model = Site
        fields = ["code", "name"]


class PartViewSet(viewsets.ModelViewSet):
    """Parts, each at one revision. `search` looks in number, name and family."""

    queryset = Part.objects.all()
    serializer_class = PartSerializer
    lookup_value_regex = r"[0-9]+"
    filterset_fields = ["number", "revision", "family"]
    search_fields = ["number", "name", "family"]


class PartyViewSet(CodeLookup, viewsets.ModelViewSet):
    search_fields = ["code", "name"]


class CustomerViewSet(PartyViewSet):
    """Who complains."""

    queryset = Customer.objects.all()
    serializer_class = CustomerSerializer


class SupplierViewSet(PartyViewSet):
    """Who delivered the part or its material."""

    queryset = Supplier.objects.all()
    serializer_class = SupplierSerializer


class SiteViewSet(PartyViewSet):
    """The plants where parts are made or faults are found."""

    queryset = Site.objects.all()
    serializer_class = SiteSerializer
