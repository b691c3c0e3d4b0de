"""Suggestions for cases, and decisions on them."""

import django_filters
from django.core.exceptions import ValidationError
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import status, viewsets
from rest_framework.response import Response
from rest_framework.views import APIView

from cases.models import Case, FaultCategory
from vision.api.serializers import DecisionRequestSerializer, DecisionSerializer, DiagnosisSerializer
from vision.models import Diagnosis
from vision.services.diagnosis import case_decide, case_diagnose


class DiagnosisFilter(django_filters.FilterSet):
    case = django_filters.CharFilter(
        field_name="case__number", lookup_expr="iexact", label="Number of the case."
    )
    category = django_filters.ModelChoiceFilter(
        queryset=FaultCategory.objects.all(), to_field_name="code", label="Code of the suggested category."
    )

    class Meta:
        model = Diagnosis
        fields = ["outcome"]


class DiagnosisViewSet(viewsets.ReadOnlyModelViewSet):
    """What was suggested for cases, the newest first: categories with probabilities, and similar cases."""

    queryset = Diagnosis.objects.all()
    serializer_class = DiagnosisSerializer
    lookup_value_regex = r"[0-9]+"
    filterset_class = DiagnosisFilter

    def get_queryset(self):
        visible = Case.objects.visible_to(self.request.user)
        return Diagnosis.objects.filter(case__in=visible).select_related("case", "category", "space")


class CaseDiagnoseView(APIView):
    required_permissions = ["cases.view_case", "vision.add_diagnosis"]
    throttle_scope = "search"

    @extend_schema(
        summary="Ask for a fresh diagnosis",
        request=None,
        responses={201: DiagnosisSerializer},
        operation_id="cases_diagnose",
    )
    def post(self, request, number):
        """Look again at the pictures of a case, with what the library knows by now."""
        case = get_object_or_404(Case.objects.visible_to(request.user), number=number)
        diagnosis = case_diagnose(case)
        if diagnosis is None:
            raise ValidationError({"images": f"{case} has no picture that can be looked at: add one first."})
        serializer = DiagnosisSerializer(diagnosis, context={"request": request})
        return Response(serializer.data, status=status.HTTP_201_CREATED)


class CaseDecideView(APIView):
    required_permissions = ["cases.view_case", "cases.change_caseimage", "vision.add_decision"]

    @extend_schema(
        summary="Decide on a case",
        request=DecisionRequestSerializer,
        responses={201: DecisionSerializer},
        operation_id="cases_decide",
    )
    def post(self, request, number):
        """Confirm or correct a suggestion: it labels the case's pictures, and the next search knows it."""
        case = get_object_or_404(Case.objects.visible_to(request.user), number=number)
        serializer = DecisionRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        diagnosis = serializer.validated_data.get("diagnosis")
        if diagnosis and diagnosis.case_id != case.pk:
            raise ValidationError({"diagnosis": f"Diagnosis {diagnosis.pk} is not one of {case}."})
        decision = case_decide(case, user=request.user, **serializer.validated_data)
        return Response(DecisionSerializer(decision).data, status=status.HTTP_201_CREATED)
