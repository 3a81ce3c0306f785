from django.urls import path

from . import views

urlpatterns = [
    path("", views.page, name="page"),
    path("drafts", views.create),
    path("sign-in", views.sign_in),
    path("sign-out", views.sign_out),
]
