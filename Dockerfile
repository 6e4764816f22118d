# docker build -t lrp_ref . && docker run --rm -v "$PWD:/data" lrp_ref explain zoo:digits x.npy --out heat.png
FROM python:3.12 AS build
COPY . /source
RUN python -m pip wheel --no-deps --wheel-dir /wheels /source

FROM python:3.12-slim
COPY --from=build /wheels /wheels
RUN python -m pip install --no-cache-dir "$(ls /wheels/*.whl)[cli,onnx,plot]"
WORKDIR /data
ENTRYPOINT ["lrp-ref"]
CMD ["--help"]
