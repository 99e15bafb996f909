"""Somebody else's client: what it can learn of a service, and call, with nothing but certificates.

Arguments: the service's address, the folder of the operator's certificates, that of the gateway's, a product's id.
Prints one JSON object.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

address, operator, gateway, product = sys.argv[1:]
SERVICE = "souk.product.v1.ProductService"
LIMIT = 20  # seconds


def channel(folder):
    def read(name):
        with open(f"{folder}/{name}", "rb") as file:
            return file.read()

    credentials = grpc.ssl_channel_credentials(read("ca.pem"), read("key.pem"), read("cert.pem"))
    name = [("grpc.ssl_target_name_override", "product")]
    return grpc.secure_channel(address, credentials, options=name)


database = ProtoReflectionDescriptorDatabase(channel(operator))
services = sorted(database.get_services())
pool = descriptor_pool.DescriptorPool(database)
service = pool.FindServiceByName(SERVICE)


def call(caller, method, **fields):
    method = service.methods_by_name[method]
    request = message_factory.GetMessageClass(method.input_type)(**fields)
    answer = message_factory.GetMessageClass(method.output_type)
    stub = channel(caller).unary_unary(
        f"/{SERVICE}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer.FromString,
    )
    try:
        return {"answer": json_format.MessageToDict(stub(request, timeout=LIMIT))}
    except grpc.RpcError as refused:
        details = {}
        for detail in rpc_status.from_call(refused).details:
            for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest):
                if detail.Is(kind.DESCRIPTOR):
                    message = kind()
                    detail.Unpack(message)
                    details[kind.DESCRIPTOR.name] = json_format.MessageToDict(message)
        return {"code": refused.code().name, "details": details}


print(json.dumps({
    "services": services,
    "methods": sorted(service.methods_by_name),
    "found": call(gateway, "GetProduct", product_id=product),
    "malformed": call(gateway, "ListProducts", page_token="no token"),
    "not_allowed": call(operator, "RetireProduct", product_id=product),
}))
