in vec3 P, N, R, C, S;
in vec2 U, A;
out vec4 pixel;
uniform int material;  // 0 teeth, 1 tongue and gums, 2 cloth
void main() {
  vec3 n = normalize(N), to_eye = normalize(camera - P), albedo = C, wrap;
  float rough, spec, open_sky;
  if (material == 2) {
    if (dot(n, to_eye) < 0.) { n = -n; albedo *= .5; }
    vec4 weave = texture(noise, R * vec3(5., 2., 5.));
    vec3 bumps = weave.rgb - dot(weave.rgb, n) * n;
    n = normalize(n - bumps * .10);
    albedo *= (.88 + .24 * weave.a) * (1. - .04 * sin(R.y * 120.));
    albedo += .10 * albedo * pow(1. - max(dot(n, to_eye), 0.), 3.);
    rough = .85; spec = .2; wrap = vec3(.08); open_sky = A.y;
  } else {  // teeth, gums, tongue: darker the deeper they lie and the less the mouth is open
    if (dot(n, to_eye) < 0.) n = -n;
    float depth = max(1.40 - R.z, 0.);
    float light = clamp(mouth_open * 2.6 / (.03 + depth * depth * 2.6 + mouth_open * 2.6), 0., 1.);
    open_sky = max(light, .08);
    rough = material == 1 ? .55 : .30;
    spec = material == 1 ? .12 : .45;
    wrap = vec3(.30, .22, .18);
  }
  pixel = vec4(tone(lit(P, n, S, to_eye, albedo, rough, spec, open_sky, wrap)), 1.);
}
