"""What templates ask about the sight that is configured."""

from django import template

from vision.services.text_search import text_understood

register = template.Library()

register.simple_tag(text_understood, name="words_understood")
