"""The Streamlit UI. It talks to the API through app.client and to nothing else; no run lives in its process."""
