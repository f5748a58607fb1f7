# The page of `res2net serve` in a container, on CPUs; every other command too:
#   docker build -t res2net .
#   docker run --rm -p 7860:7860 -e RES2NET_TOKEN=a-long-secret res2net
#   docker run --rm res2net info res2net50_26w_4s

# This image has a C++ compiler, for the native engine; the slim one below does not.
FROM python:3.11 AS build
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE NOTICE ./
COPY src ./src
COPY native ./native
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . ./native

FROM python:3.11-slim
# PyTorch without CUDA: some 4 GB less.
ARG TORCH_WHEELS=https://download.pytorch.org/whl/cpu
COPY constraints.txt /wheels/
COPY --from=build /wheels/*.whl /wheels/
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt \
    --extra-index-url "$TORCH_WHEELS" "$(echo /wheels/res2net-*.whl)[serve,runtime]" \
    /wheels/res2net_native-*.whl

RUN useradd --create-home --uid 1000 res2net
USER 1000
# Runs, photos and artifacts are mounted here.
WORKDIR /home/res2net
EXPOSE 7860
HEALTHCHECK --start-period=60s CMD \
    ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/health')"]
ENTRYPOINT ["res2net"]
CMD ["serve", "--host", "0.0.0.0"]
