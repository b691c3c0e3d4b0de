"""Parts, customers, suppliers and sites."""

from django.contrib import admin
from django.db.models import Count

from cases.admin.base import HistoryAdmin
from cases.admin.transfer import TransferMixin
from cases.models import Customer, Part, Site, Supplier
from cases.resources import CustomerResource, PartResource, SiteResource, SupplierResource


class WithCaseCount(TransferMixin, HistoryAdmin):
    list_per_page = 50

    def get_queryset(self, request):
        return super().get_queryset(request).annotate(case_count=Count("cases"))

    @admin.display(description="cases", ordering="case_count")
    def case_count(self, row):
        return row.case_count


@admin.register(Part)
class PartAdmin(WithCaseCount):
    resource_classes = [PartResource]
    list_display = ["number", "revision", "name", "family", "case_count"]
    list_filter = ["family"]
    search_fields = ["number", "name", "family"]


class PartyAdmin(WithCaseCount):
    list_display = ["code", "name", "case_count"]
    search_fields = ["code", "name"]


@admin.register(Customer)
class CustomerAdmin(PartyAdmin):
    resource_classes = [CustomerResource]


@admin.register(Supplier)
class SupplierAdmin(PartyAdmin):
    resource_classes = [SupplierResource]


@admin.register(Site)
class SiteAdmin(PartyAdmin):
    resource_classes = [SiteResource]
