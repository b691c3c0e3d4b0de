# One image for web, workers and clock; docker-compose.yml says which command each runs.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --system --create-home --uid 10001 faultdiag \
    && mkdir /data \
    && chown faultdiag:faultdiag /data

WORKDIR /app

# The CPU build of torch comes from PyTorch's own index, without NVIDIA's libraries.
COPY requirements.txt requirements-s3.txt constraints.txt ./
RUN grep -E '^(torch|torchvision)==' requirements.txt > torch.txt \
    && pip install --index-url https://download.pytorch.org/whl/cpu --no-deps -r torch.txt \
    && pip install -r requirements.txt -r requirements-s3.txt -c constraints.txt \
    && rm torch.txt

COPY . .

USER faultdiag

ENV FAULTDIAG_DATA=/data \
    FAULTDIAG_HOST=0.0.0.0

VOLUME /data
EXPOSE 8000

CMD ["python", "-m", "gunicorn", "-c", "python:faultdiag.gunicorn_config", "faultdiag.wsgi"]
