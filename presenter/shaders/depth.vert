in vec3 position;
void main() { gl_Position = view_projection * (part_matrix * vec4(position, 1.)); }
