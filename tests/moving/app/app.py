"""What stays as it was when the team moves: the app, and how it knows who is signed in."""

import os

from flask import Flask, request, session

from api.generation_routes import generation_bp

app = Flask(__name__)
app.config["SECRET_KEY"] = os.environ["SECRET_KEY"]
app.register_blueprint(generation_bp)


@app.post("/sign-in")
def sign_in():
    session["user"] = request.form["user"]
    return "", 204
